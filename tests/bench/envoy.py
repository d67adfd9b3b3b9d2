"""Envoys for the benchmark: their configurations, their start, and what the kernel knows about them."""

import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

LIBC = ctypes.CDLL(None)
READY_WITHIN = 120  # seconds: the native filter's 100 000 matchers take a while
TYPE = "type.googleapis.com/envoy.extensions."
GIB = 1024 * 1024 * 1024
WASM_PAGE = 64 * 1024


# --- Configurations, as the JSON form of Envoy's protobufs ---


def wasm_filter(name, module, configuration="", vm=None):
    """Copies with the same `vm` share one VM, each with a root context of its own."""
    return {
        "name": name,
        "typed_config": {
            "@type": TYPE + "filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "vm_config": {
                    "vm_id": vm or name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(module)}},
                },
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            },
        },
    }


def lua_filter(name):
    source = "function envoy_on_request(handle) end\nfunction envoy_on_response(handle) end\n"
    return {
        "name": name,
        "typed_config": {"@type": TYPE + "filters.http.lua.v3.Lua", "default_source_code": {"inline_string": source}},
    }


def native_filter(name):
    """Envoy's own CORS filter; its policy stands at the virtual host, under the filter's name."""
    return {"name": name, "typed_config": {"@type": TYPE + "filters.http.cors.v3.Cors"}}


def restorer(name, headers):
    """Envoy's header-mutation filter, taking away what the filter behind it has put on the response."""
    mutations = {"response_mutations": [{"remove": header} for header in headers]}
    return {
        "name": name,
        "typed_config": {"@type": TYPE + "filters.http.header_mutation.v3.HeaderMutation", "mutations": mutations},
    }


def listener(name, filters, route, native_policy=None):
    """An edge gateway as in envoy/envoy.yaml, without access log, on a port that the kernel chooses."""
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
    if native_policy:
        policy = {"@type": TYPE + "filters.http.cors.v3.CorsPolicy", **native_policy}
        natives = [one["name"] for one in filters if one["typed_config"]["@type"].endswith("v3.Cors")]
        host["typed_per_filter_config"] = dict.fromkeys(natives, policy)
    router = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [host]},
    }
    return {
        "name": name,
        "address": socket_address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def direct_response():
    header = {"key": "content-type", "value": "application/json"}
    return {
        "direct_response": {"status": 200, "body": {"inline_string": "{}\n"}},
        "response_headers_to_add": [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }


def to_cluster(name):
    return {"route": {"cluster": name}}


def cluster(name, port):
    endpoint = {"endpoint": {"address": socket_address(port)}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def socket_address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


# --- Processes ---


def die_with_parent():
    """Runs in a child: nothing outlives the benchmark, even if that is killed outright."""
    LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Envoy:
    """A running Envoy with one worker. Use it in a `with` statement: it ends with the block."""

    def __init__(self, binary, folder, name, cpu, listeners, clusters=()):
        self.name, self.log = name, folder / f"{name}.log"
        bootstrap = {
            "admin": {"address": socket_address(0)},
            "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        }
        config, address = folder / f"{name}.json", folder / f"{name}.admin"
        config.write_text(json.dumps(bootstrap))
        address.unlink(missing_ok=True)
        command = [binary, "-c", config, "--admin-address-path", address, "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "warning"]

        def in_child():
            os.sched_setaffinity(0, {cpu})
            die_with_parent()

        started = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=in_child)
        try:
            self.admin = self._wait_until_ready(address, started + READY_WITHIN)
            self.start_seconds = time.monotonic() - started
            statuses = json.loads(self._ask("/listeners?format=json"))["listener_statuses"]
            self.ports = {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in statuses}
            [self.worker] = [task for task in self._tasks() if (task / "comm").read_text().startswith("wrk:worker_0")]
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def worker_cpu(self):
        """Nanoseconds that the worker thread was on a CPU."""
        return int((self.worker / "schedstat").read_text().split()[0])

    def resident(self):
        """Bytes of memory in RAM."""
        status = (self._proc() / "status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def heap(self):
        """Bytes that Envoy's own allocator has handed out: without the VMs' memories, and without what was freed."""
        return int(json.loads(self._ask("/memory"))["allocated"])

    def wasm_pages(self):
        """The size of each VM's linear memory, in pages of 64 KiB.

        V8 reserves 8 GiB of addresses for a memory, and makes its start writable as it grows: one mapping of each kind.
        """
        pages, before = [], (0, 0, "")
        for line in (self._proc() / "maps").read_text().splitlines():
            addresses, rights = line.split()[:2]
            start, end = (int(address, 16) for address in addresses.split("-"))
            if rights == "---p" and before[1:] == (start, "rw-p") and end - before[0] == 8 * GIB:
                pages.append((start - before[0]) // WASM_PAGE)
            before = (start, end, rights)
        return sorted(pages)

    def _proc(self):
        return pathlib.Path(f"/proc/{self.process.pid}")

    def _tasks(self):
        return (self._proc() / "task").iterdir()

    def _wait_until_ready(self, address, deadline):
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise SystemExit(f"Envoy ({self.name}) ended, status {self.process.returncode}; the end of its log:\n{end[-3000:]}")
            try:
                self.admin = int(address.read_text().rsplit(":", 1)[1])
                if self._ask("/ready") == b"LIVE\n":
                    return self.admin
            except (OSError, IndexError, ValueError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        raise SystemExit(f"Envoy ({self.name}) was not ready within {READY_WITHIN} seconds")

    def _ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()
