-- wrk -s origins.lua URL -- PATTERN COUNT STEP: every request from the next origin, COUNT of them from all over the list.

local requests, turn = {}, 0

function init(args)
    local pattern, count, step = args[1], tonumber(args[2]), tonumber(args[3])
    for i = 0, count - 1 do
        wrk.headers["Origin"] = pattern:format(i * step)
        requests[#requests + 1] = wrk.format()
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end
