"""What is measured, and how. Each function returns raw rows; report.py makes figures of them."""

import dataclasses
import json
import pathlib
import random
import statistics
import time

import envoy
import load

MIB = 1024 * 1024
COPIES = 16  # of a filter in one chain: what one costs alone drowns in the noise
OWN_COPIES = 8  # of ours with long lists, each with its tables
SIZES = (1, 1_000, 10_000, 100_000)
MANY = SIZES[-1]
BODY = 100 * MIB
EXACT, WILDCARD = "https://a%d.example", "https://*.a%d.example"
SET_BY_FILTERS = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers", "vary")
STRANGER = "https://stranger.example.net"
NONE, NATIVE, NOOP, LUA = "no filter", "native CORS", "do-nothing SDK", "empty Lua"
OURS, OURS_WILDCARD = "envoy-cors", "envoy-cors *."
FLOOR = "floor"  # the calls of a CORS filter, and nothing else
GRANTING = (NATIVE, FLOOR, OURS)


@dataclasses.dataclass
class Site:
    """What all measurements share."""

    envoy: pathlib.Path
    modules: dict  # subject -> wasm file
    folder: pathlib.Path
    cpu: int  # of the measured Envoy
    upstream: int  # port

    def gateway(self, listeners, clusters=None):
        clusters = clusters or [envoy.cluster("upstream", self.upstream)]
        return envoy.Envoy(self.envoy, self.folder, "gateway", self.cpu, listeners, clusters)

    def filters(self, subject, copies, origins):
        names = [f"{subject.split()[0]}-{number}" for number in range(copies)]
        # A VM of its own for every chain, so that no list lies in another's memory.
        vm = f"{subject} {copies} {len(origins)}"
        match subject:
            case "no filter":
                return [None] * copies
            case "native CORS":
                return [envoy.native_filter(name) for name in names]
            case "empty Lua":
                return [envoy.lua_filter(name) for name in names]
            case _:
                module = self.modules[subject.removesuffix(" *.")]
                return [envoy.wasm_filter(name, module, policy(origins), vm) for name in names]

    def listener(self, name, subject, route=None, copies=1, origins=(EXACT % 0,)):
        """A chain of copies, each of which sees the response as upstream sent it, as one alone would."""
        filters = self.filters(subject, copies, origins)
        if copies > 1:
            restorers = [envoy.restorer(f"restorer-{number}", SET_BY_FILTERS) for number in range(copies)]
            # Responses come from the end of the chain.
            filters = [one for pair in zip(filters, restorers) for one in pair]
        native = native_policy(origins) if subject == NATIVE else None
        return envoy.listener(name, [one for one in filters if one], route or envoy.to_cluster("upstream"), native)


def policy(origins):
    return json.dumps(
        {
            "allowOrigins": list(origins),
            "allowMethods": ["PUT", "DELETE"],
            "allowHeaders": ["authorization", "content-type"],
            "exposeHeaders": ["x-request-id"],
            "maxAge": 7200,
            "allowCredentials": True,
        }
    )


def native_policy(origins):
    return {
        "allow_origin_string_match": [{"exact": origin} for origin in origins],
        "allow_methods": "PUT, DELETE",
        "allow_headers": "authorization, content-type",
        "expose_headers": "x-request-id",
        "max_age": "7200",
        "allow_credentials": True,
    }


def listed(pattern, count):
    return [pattern % number for number in range(count)]


@dataclasses.dataclass
class Cell:
    """One load on one listener."""

    subject: str
    kind: str
    listener: str
    headers: dict
    granted: str | None = None  # the Access-Control-Allow-Origin that a reply must have
    method: str = "GET"
    script: str | None = None
    args: tuple = ()

    def check(self, port):
        status, granted = load.exchange(port, self.method, self.headers)
        if status not in (200, 204) or granted != self.granted:
            raise SystemExit(f"{self.listener}, {self.kind}: unexpected reply, status {status}, granted to {granted}")

    def measure(self, gateway):
        port = gateway.ports[self.listener]
        self.check(port)
        cpu, clock = gateway.worker_cpu(), time.monotonic()
        count, per_second = load.wrk(port, self.headers, script=self.script, args=self.args)
        cpu, clock = gateway.worker_cpu() - cpu, time.monotonic() - clock
        return {"cpu_us": cpu / count / 1e3, "per_second": per_second, "busy": cpu / clock / 1e9}


@dataclasses.dataclass
class Rounds:
    """How often everything is measured: `most` times, or fewer, but never less than `least`, when time is up."""

    most: int
    least: int
    seconds: float

    def __iter__(self):
        end = time.monotonic() + self.seconds
        for number in range(self.most):
            if number >= self.least and time.monotonic() > end:
                break
            yield number


def measure(rounds, start, cells):
    """Measures each cell once a round, in an order that changes, on an Envoy that is new in each round."""
    rows = []
    for number in rounds:
        with start() as gateway:
            for cell in random.Random(number).sample(cells, len(cells)):
                rows.append({"round": number, "subject": cell.subject, "kind": cell.kind, **cell.measure(gateway)})
    return rows


def per_copy(site, rounds):
    """16 copies of each filter, to be compared with none."""
    subjects = (NONE, NATIVE, NOOP, LUA, FLOOR, OURS)
    listeners = [site.listener(subject, subject, copies=COPIES) for subject in subjects]
    cells = []
    for subject in subjects:
        for kind, origin in (("no Origin", None), ("allowed", EXACT % 0), ("stranger", STRANGER)):
            if (subject, kind) == (FLOOR, "stranger"):
                continue  # it knows none
            headers = {**load.BROWSER, **({"Origin": origin} if origin else {})}
            granted = origin if kind == "allowed" and subject in GRANTING else None
            cells.append(Cell(subject, kind, subject, headers, granted))
    return measure(rounds, lambda: site.gateway(listeners), cells)


def whole_request(site, rounds):
    """One copy, one request of an allowed origin, the last one listed; and preflights."""
    listeners, cells = [], []

    def add(subject, count=1):
        name, origin = f"{subject} {count}", EXACT % (count - 1)
        granted = origin if subject in GRANTING else None
        listeners.append(site.listener(name, subject, origins=listed(EXACT, count)))
        cells.append(Cell(subject, str(count), name, {**load.BROWSER, "Origin": origin}, granted))

    for subject in (NONE, NOOP, LUA, FLOOR):
        add(subject)
    for count in SIZES:
        add(NATIVE, count)
        add(OURS, count)
    origin = EXACT % 0
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}
    for subject in GRANTING:
        headers = {**load.BROWSER, "Origin": origin, **asks}
        cells.append(Cell(subject, "preflight", f"{subject} 1", headers, origin, "OPTIONS", "preflight.lua"))
    return measure(rounds, lambda: site.gateway(listeners), cells)


def own_cost(site, rounds):
    """Ours with a long list and with a short one: 8 copies and always the last origin, then one copy and origins in turn."""
    listeners, cells = [site.listener(NONE, NONE, copies=OWN_COPIES)], [Cell(NONE, "1", NONE, load.BROWSER)]
    for subject, pattern in ((OURS, EXACT), (OURS_WILDCARD, WILDCARD)):
        requested = pattern.replace("*", "x")
        for count in (1, MANY):
            for copies, kind in ((OWN_COPIES, str(count)), (1, f"{count} in turn")):
                name = f"{subject} {copies} {count}"
                listeners.append(site.listener(name, subject, copies=copies, origins=listed(pattern, count)))
                origin = requested % (count - 1)
                cell = Cell(subject, kind, name, {**load.BROWSER, "Origin": origin}, origin)
                if copies == 1:
                    # 1 000 requests in turn also where they are all the same: wrk's work shall not differ.
                    cell.script, cell.args = "origins.lua", (requested, "1000", str(count // 1000))
                cells.append(cell)
    return measure(rounds, lambda: site.gateway(listeners), cells)


def start_and_memory(site, rounds):
    """Start-up and memory with one origin and with many. The do-nothing filter gets the same text, and does not read it."""
    rows = []
    route = envoy.direct_response()
    for number in rounds:
        for subject, pattern in ((OURS, EXACT), (OURS_WILDCARD, WILDCARD), (NOOP, EXACT)):
            for count in (1, MANY):
                listener = site.listener("one", subject, route, origins=listed(pattern, count))
                with site.gateway([listener]) as gateway:
                    load.wrk(gateway.ports["one"], load.BROWSER)
                    row = {"round": number, "subject": subject, "kind": str(count), "start_s": gateway.start_seconds}
                    wasm = sum(gateway.wasm_pages()) * envoy.WASM_PAGE
                    rows.append({**row, "resident": gateway.resident(), "heap": gateway.heap(), "wasm": wasm})
    return rows


def bodies(site, rounds, fetches):
    """Large response bodies, in turn without a filter and with one."""
    server = load.BodyServer(BODY)
    listeners = [site.listener(subject, subject, envoy.to_cluster("bodies")) for subject in (NONE, NOOP, OURS)]
    headers = {**load.BROWSER, "Origin": EXACT % 0}
    rows = []
    for number in rounds:
        with site.gateway(listeners, [envoy.cluster("bodies", server.port)]) as gateway:
            clients = {subject: load.BodyClient(gateway.ports[subject], headers) for subject in (NONE, NOOP, OURS)}
            for client in clients.values():
                client.fetch(BODY)
            spent = {subject: [] for subject in clients}
            for _ in range(fetches):
                for subject, client in clients.items():
                    before = gateway.worker_cpu()
                    client.fetch(BODY)
                    spent[subject].append(gateway.worker_cpu() - before)
            for subject, client in clients.items():
                client.close()
                rows.append({"round": number, "subject": subject, "kind": "body", "cpu_ms": statistics.median(spent[subject]) / 1e6})
    return rows


def wasm_growth(site, requests, seconds):
    """Mixed requests: the pages of the VMs' memories after 5 seconds of them, and after so many, or as many as time allows."""
    patterns = ["https://app.example.com", "https://*.example.com", "http://localhost:*"]
    listener = site.listener("one", OURS, envoy.direct_response(), origins=patterns)
    with site.gateway([listener]) as gateway:

        def send(seconds):
            return load.wrk(gateway.ports["one"], load.BROWSER, seconds, "mixed.lua")

        _, per_second = send(5)
        row = {"pages_before": gateway.wasm_pages(), "resident_before": gateway.resident()}
        # A tenth more, because the rate varies.
        count, per_second = send(max(5, int(min(seconds, 1.1 * requests / per_second))))
        return [{**row, "pages_after": gateway.wasm_pages(), "resident_after": gateway.resident(), "requests": count, "per_second": per_second}]
