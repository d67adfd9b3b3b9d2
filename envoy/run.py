#!/usr/bin/env python3
"""Starts envoy.yaml and upstream.yaml, sends a few requests, shows the replies, and keeps serving.

envoy/run.py ENVOY           ENVOY is the path of the Envoy binary; Ctrl-C ends everything
envoy/run.py ENVOY --once    ends after the requests: status 0 if every reply was as expected
envoy/run.py --against URL   only sends the requests, to a gateway that runs already
"""

import argparse
import ctypes
import http.client
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "target" / "run"
GATEWAY, ADMIN, UPSTREAM = 10000, 9901, 10001
READY_WITHIN = 30  # seconds
QUIET = ["--log-level", "warning", "--component-log-level", "wasm:info"]  # what the filter says at load is worth reading
LIBC = ctypes.CDLL(None)

APP = "https://app.example.com"
PREVIEW = "https://pr-7.preview.example.com"
STRANGER = "https://stranger.example.net"

# What the policy in envoy.yaml says, and what must be on a reply, whole: no other Access-Control-* header, no other Vary.
GRANT = {
    "access-control-allow-origin": APP,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-request-id",
    "vary": "Origin",
}
NO_GRANT = {"vary": "Origin"}
STRIPPED = {"vary": "Accept-Encoding, Origin"}
NO_PREFLIGHT = {"vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
NO_METHOD = {
    "access-control-allow-origin": APP,
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "PUT, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    **NO_PREFLIGHT,
}
PREFLIGHT = {**NO_METHOD, "access-control-max-age": "7200"}

ASKS = ("PUT", "authorization")

# Request line, Origin, the method and headers a preflight asks for; status, CORS headers, why.
REQUESTS = [
    ("GET /", APP, None, 200, GRANT, "allowed: listed by name"),
    ("GET /", PREVIEW, None, 200, {**GRANT, "access-control-allow-origin": PREVIEW}, "allowed: https://*.preview.example.com covers it"),
    ("GET /", STRANGER, None, 200, NO_GRANT, "refused: upstream answers, and the browser keeps the answer from the page"),
    ("OPTIONS /private", APP, ASKS, 204, PREFLIGHT, "allowed: answered here, before jwt_authn asks for a token"),
    ("OPTIONS /private", STRANGER, ASKS, 403, NO_PREFLIGHT, "refused: a stranger is not told what others may do"),
    ("OPTIONS /", APP, ("PURGE", None), 204, NO_METHOD, "refused: PURGE is not listed; the browser's console will say so"),
    ("GET /private", APP, None, 401, GRANT, "jwt_authn's reply: the page can read the 401 and ask for a login"),
    ("GET /limited", APP, None, (200, 429), GRANT, "one request a minute passes"),
    ("GET /limited", APP, None, 429, GRANT, "local_ratelimit's reply: the page can read the 429 and wait"),
    ("GET /slow", APP, None, 504, GRANT, "the router's reply: upstream took too long"),
    ("GET /legacy", APP, None, 200, {**GRANT, **STRIPPED}, "allowed: upstream's own `*` is replaced"),
    ("GET /legacy", STRANGER, None, 200, STRIPPED, "refused: upstream's own `*` is removed"),
]

TRY = """
serving on {url}, until Ctrl-C; access log: target/run/gateway.log; admin: http://127.0.0.1:{admin}
  curl -i -H 'Origin: {app}' {url}/
  curl -i -H 'Origin: {stranger}' {url}/
  curl -i -X OPTIONS -H 'Origin: {app}' -H 'Access-Control-Request-Method: PUT' {url}/private
  curl -i -H 'Origin: {app}' -H 'Host: nobody.example' {url}/         404, no route
  curl -i -H 'Origin: {app}' -d "$(printf %2000d 0)" {url}/upload   413, more than a KiB
other paths: /private 401, /admin 403, /limited 429 from the second on, /down 503, /slow 504, /old 301, /healthz 200;
and from upstream: /broken 500, /legacy and /opinionated with CORS headers of their own
the same from a browser: {page}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envoy", nargs="?", help="path of the Envoy binary")
    parser.add_argument("--once", action="store_true", help="end after the requests")
    parser.add_argument("--against", metavar="URL", help="a gateway that runs already")
    args = parser.parse_args()
    if bool(args.envoy) == bool(args.against):
        parser.error("give the path of an Envoy binary, or --against URL")
    sys.stdout.reconfigure(line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))

    if args.against:
        url = urllib.parse.urlsplit(args.against)
        wait_for(url.hostname, url.port or 80, "/", [])
        return transcript(url.hostname, url.port or 80)

    children = []
    try:
        start_all(pathlib.Path(args.envoy), children)
        status = transcript("127.0.0.1", GATEWAY)
        if args.once:
            return status
        page = f"http://localhost:{UPSTREAM}/page"
        print(TRY.format(url=f"http://127.0.0.1:{GATEWAY}", admin=ADMIN, app=APP, stranger=STRANGER, page=page))
        while True:
            fail_if_exited(children)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 130 if args.once else 0
    finally:
        stop(children)


def start_all(envoy, children):
    if not (ROOT / "dist" / "envoy_cors.wasm").is_file():
        sys.exit("dist/envoy_cors.wasm is missing: `make build` makes it")
    # Asked beforehand: Envoy itself would share a port with another Envoy without a word.
    for port in (GATEWAY, ADMIN, UPSTREAM):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                sys.exit(f"port {port} on 127.0.0.1 cannot be used ({error.strerror}): end what listens there")
    LOGS.mkdir(parents=True, exist_ok=True)
    children.append(("upstream", start(envoy, "upstream", "upstream.yaml")))
    children.append(("gateway", start(envoy, "gateway", "envoy.yaml")))
    wait_for("127.0.0.1", UPSTREAM, "/", children)
    wait_for("127.0.0.1", ADMIN, "/ready", children)


def start(envoy, name, source):
    # Nobody else's business on a developer's machine; see the listener in envoy.yaml.
    config = LOGS / f"{name}.yaml"
    config.write_text((ROOT / "envoy" / source).read_text().replace("address: 0.0.0.0", "address: 127.0.0.1"))
    # Hot restart would make two Envoys fight for one name.
    command = [envoy.resolve(), "-c", config, "--concurrency", "1", "--disable-hot-restart", *QUIET]
    with open(LOGS / f"{name}.log", "wb") as log:
        try:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=die_with_parent)
        except OSError as error:
            sys.exit(f"cannot start {envoy}: {error.strerror}")


def die_with_parent():
    """Runs in the child: even if this script is killed outright, no Envoy stays behind."""
    LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def stop(children):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for _, process in children:
        process.terminate()
    for _, process in children:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fail_if_exited(children):
    for name, process in children:
        if process.poll() is not None:
            log = LOGS / f"{name}.log"
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            sys.exit(f"Envoy ({name}) ended, status {process.returncode}; the end of {log.relative_to(ROOT)}:\n{end}")


def wait_for(host, port, path, children):
    deadline = time.monotonic() + READY_WITHIN
    while True:
        fail_if_exited(children)
        try:
            if send(host, port, "GET", path, {})[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > deadline:
            sys.exit(f"no answer from {host}:{port}{path} within {READY_WITHIN} seconds")
        time.sleep(0.1)


def send(host, port, method, path, headers):
    """Status and the CORS headers, several lines of one name joined as HTTP says."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        cors = {}
        for name, value in reply.getheaders():
            name = name.lower()
            if name == "vary" or name.startswith("access-control-"):
                cors[name] = f"{cors[name]}, {value}" if name in cors else value
        return reply.status, cors
    finally:
        connection.close()


def transcript(host, port):
    unexpected = 0
    for line, origin, asks, status, cors, why in REQUESTS:
        method, path = line.split()
        headers = {"Origin": origin}
        if asks:
            headers["Access-Control-Request-Method"] = asks[0]
            if asks[1]:
                headers["Access-Control-Request-Headers"] = asks[1]
        try:
            got_status, got_cors = send(host, port, method, path, headers)
        except (OSError, http.client.HTTPException) as error:
            sys.exit(f"{line}: no reply ({error!r})")
        print("\n> " + "  ".join([line] + [f"{name}: {value}" for name, value in headers.items()]))
        print(f"< {got_status}  {why}")
        for name, value in sorted(got_cors.items()):
            print(f"  {name.title()}: {value}")
        statuses = status if isinstance(status, tuple) else (status,)
        if got_status not in statuses or as_lists(got_cors) != as_lists(cors):
            unexpected += 1
            print(f"  UNEXPECTED, it should be {status} with {cors}")
    print(f"\n{len(REQUESTS)} requests, {unexpected or 'no'} unexpected replies")
    return 1 if unexpected else 0


def as_lists(headers):
    """For comparison: order and white space mean nothing in these headers, a value given twice does."""
    return {name: sorted(part.strip().lower() for part in value.split(",")) for name, value in headers.items()}


if __name__ == "__main__":
    sys.exit(main())
