"""A real Envoy with the shipped configuration and more, and a real Prometheus with the shipped one."""

import ctypes
import http.client
import json
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBC = ctypes.CDLL(None)
WITHIN = 90  # seconds: compiling the filter's code takes a busy machine a while
TYPE = "type.googleapis.com/envoy.extensions."


def die_with_parent():
    """Runs in a child: nothing outlives the test, even if that is killed outright."""
    LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def wait_for(what, ask):
    """The first answer of `ask` that is true. One that fails counts as none."""
    deadline, answer = time.monotonic() + WITHIN, None
    while time.monotonic() < deadline:
        try:
            answer = ask()
            if answer:
                return answer
        except OSError as error:
            answer = error
        time.sleep(0.1)
    raise SystemExit(f"not within {WITHIN} seconds: {what}; the last answer was {answer!r}")


def send(port, method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def replaced(text, changes):
    """`text` with each of `changes`, which must all be needed."""
    for old, new in changes.items():
        assert old in text, f"not there: {old}"
        text = text.replace(old, new)
    return text


class Process:
    def __init__(self, command, folder, name):
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def alive(self):
        """True, or the end of the test with the end of the log."""
        if self.process.poll() is None:
            return True
        end = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{self.log.stem} ended, status {self.process.returncode}:\n{end}")


class Envoy(Process):
    """envoy/envoy.yaml, and beside its own listener two discovered ones: `inline`, whose filter stands in it, and `ecds`,
    whose filter is discovered by itself."""

    def __init__(self, binary, folder, name, policy, with_tags):
        self.folder = folder / name
        self.folder.mkdir()
        self.version = 0
        self.push_filter(policy)
        self.push_listeners(policy)
        changes = {
            "port_value: 9901": "port_value: 0",
            "port_value: 10000": "port_value: 0",
            "port_value: 10001": "port_value: 1",  # nobody: what is decided does not depend on upstream
            "address: 0.0.0.0": "address: 127.0.0.1",
        }
        if not with_tags:
            changes["regex: ^wasmcustom"] = "regex: ^nothing"
        config = self.folder / "envoy.yaml"
        config.write_text(replaced((ROOT / "envoy" / "envoy.yaml").read_text(), changes))
        more = {"node": {"id": name, "cluster": name}, "dynamic_resources": {"lds_config": self._file("lds")}}
        address = self.folder / "admin"
        command = [binary, "-c", config, "--config-yaml", json.dumps(more), "--admin-address-path", address]
        command += ["--concurrency", "2", "--disable-hot-restart", "--drain-time-s", "1", "--component-log-level", "misc:error"]
        super().__init__(command, folder, name)
        wait_for(f"{name} listens", lambda: self.alive() and address.exists() and address.read_text())
        self.admin = int(address.read_text().rpartition(":")[2])
        wait_for(f"{name} is ready", lambda: self.alive() and send(self.admin, "GET", "/ready", {})[0] == 200)

    def port(self, listener):
        statuses = json.loads(send(self.admin, "GET", "/listeners?format=json", {})[1])["listener_statuses"]
        [port] = {one["local_address"]["socket_address"]["port_value"] for one in statuses if one["name"] == listener}
        return port

    def stat(self, name):
        [value] = re.findall(rf"^{re.escape(name)}: (\d+)$", send(self.admin, "GET", "/stats", {})[1], re.M)
        return int(value)

    def push_listeners(self, policy):
        by_itself = {"config_source": self._file("ecds"), "type_urls": [TYPE + "filters.http.wasm.v3.Wasm"]}
        filters = {
            "inline": {"name": "cors", "typed_config": wasm(policy)},
            "ecds": {"name": "team-cors", "config_discovery": by_itself},
        }
        self._push("lds", [listener(*item) for item in filters.items()])

    def push_filter(self, policy):
        kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
        self._push("ecds", [{"@type": kind, "name": "team-cors", "typed_config": wasm(policy)}])

    def write(self, kind, text):
        """Envoy reads the file as soon as another takes its name. Each has a folder of its own: Envoy reads all files of a
        folder again when one of them changes."""
        (self.folder / kind).mkdir(exist_ok=True)
        aside = self.folder / f"{kind}.new"
        aside.write_text(text)
        aside.rename(self.folder / kind / "config.json")

    def _push(self, kind, resources):
        self.version += 1
        self.write(kind, json.dumps({"version_info": str(self.version), "resources": resources}))

    def _file(self, kind):
        folder = self.folder / kind
        source = {"path": str(folder / "config.json"), "watched_directory": {"path": str(folder)}}
        return {"resource_api_version": "V3", "path_config_source": source}


def wasm(policy):
    return {
        "@type": TYPE + "filters.http.wasm.v3.Wasm",
        "config": {
            "name": "cors",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": "dist/envoy_cors.wasm"}}},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(policy)},
        },
    }


def listener(name, cors):
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [cors, {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
            ]
        },
    }
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


class Prometheus(Process):
    """envoy/prometheus/prometheus.yaml, faster, and of other Envoys, which have the labels of a cluster too."""

    def __init__(self, binary, folder, targets):
        shipped = ROOT / "envoy" / "prometheus"
        labelled = {"targets": targets, "labels": {"cluster": "east", "namespace": "edge"}}
        changes = {
            "15s": "1s",
            "rule_files: [alerts.yaml]": f"rule_files: [{shipped}/alerts.yaml]",
            '- targets: ["127.0.0.1:9901"]': f"- {json.dumps(labelled)}",
        }
        config = folder / "prometheus.yaml"
        config.write_text(replaced((shipped / "prometheus.yaml").read_text(), changes))
        command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        super().__init__([*command, "--web.listen-address=127.0.0.1:0"], folder, "prometheus")
        said = re.compile(r'msg="Listening on" .*address=127\.0\.0\.1:(\d+)')
        found = wait_for("prometheus listens", lambda: self.alive() and said.search(self.log.read_text()))
        self.port = int(found[1])
        wait_for("prometheus is ready", lambda: self.alive() and send(self.port, "GET", "/-/ready", {})[0] == 200)

    def ask(self, path, **parameters):
        """The data of its answer. A query that it cannot parse or evaluate ends the test."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        answer = json.loads(send(self.port, "GET", f"/api/v1/{path}?{query}", {})[1])
        if answer["status"] != "success":
            raise SystemExit(f"{path} {parameters}: {answer['error']}")
        return answer["data"]

    def series(self, selector):
        """The labels of each series that `selector` finds."""
        return self.ask("series", **{"match[]": selector})
