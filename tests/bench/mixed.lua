-- One request of each kind in turn, for a policy that allows https://app.example.com, https://*.example.com and
-- http://localhost:*, PUT and `authorization`.

local APP = "https://app.example.com"
local KINDS = {
    { "GET" },
    { "GET", APP },
    { "GET", "https://a.b.c.d.example.com" },
    { "POST", "http://localhost:5173" },
    { "GET", "https://stranger.example.net" },
    { "GET", "null" },
    { "GET", "https://" .. ("label."):rep(300) .. "example.com" },
    { "GET", "\xff\xfe, https://app.example.com" },
    { "OPTIONS" },
    { "OPTIONS", APP, "PUT" },
    { "OPTIONS", APP, "PUT", "authorization" },
    { "OPTIONS", APP, "PURGE" },
    { "OPTIONS", APP, "PUT", ("x-a,"):rep(1000) },
    { "OPTIONS", "https://stranger.example.net", "PUT", "authorization" },
}

local requests, turn = {}, 0

function init()
    for _, kind in ipairs(KINDS) do
        local headers = {}
        for name, value in pairs(wrk.headers) do
            headers[name] = value
        end
        headers["Origin"] = kind[2]
        headers["Access-Control-Request-Method"] = kind[3]
        headers["Access-Control-Request-Headers"] = kind[4]
        requests[#requests + 1] = wrk.format(kind[1], nil, headers)
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end
