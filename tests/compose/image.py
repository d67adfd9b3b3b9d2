"""tests/compose/image.py REGISTRY: builds the image of envoy/Dockerfile, pushes it to the registry of images whose program is
REGISTRY, started on loopback, and reads it there as Istio and Envoy Gateway do."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODULE = ROOT / "dist" / "envoy_cors.wasm"

# What both accept: manifests, and the layers that belong into each. Not a list of manifests, which depends on the machine.
LAYERS = {
    "application/vnd.docker.distribution.manifest.v2+json": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.oci.image.layer.v1.tar+gzip",
}


@contextlib.contextmanager
def registry(program):
    """Runs a registry until the end of the block; yields its host and port."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "config.yml")
        settings = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": folder}},
            "http": {"addr": "127.0.0.1:0"},
        }
        config.write_text(json.dumps(settings))
        process = subprocess.Popen([program, "serve", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                    yield found[1]
                    return
            sys.exit(f"the registry ended at once:\n{''.join(said)}")
        finally:
            process.kill()
            process.communicate()


def docker(*arguments):
    # Else BuildKit attaches how the image was built, and makes a list of two manifests of it.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    subprocess.run(["docker", *arguments], check=True, env=environment, stdout=sys.stderr)


def fetch(url, accept=""):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as response:
        return response.headers["Content-Type"], response.read()


def check(host):
    image = f"{host}/envoy-cors:test"
    docker("build", "--quiet", "--file", ROOT / "envoy" / "Dockerfile", "--tag", image, MODULE.parent)
    try:
        docker("push", "--quiet", image)
    finally:
        docker("rmi", image)

    lists = ["application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json"]
    kind, manifest = fetch(f"http://{host}/v2/envoy-cors/manifests/test", ", ".join([*LAYERS, *lists]))
    assert kind in LAYERS, f"a manifest of type {kind}, not one of {', '.join(LAYERS)}"
    layers = json.loads(manifest)["layers"]
    assert [layer["mediaType"] for layer in layers] == [LAYERS[kind]], layers

    _, layer = fetch(f"http://{host}/v2/envoy-cors/blobs/{layers[0]['digest']}")
    assert layers[0]["digest"] == f"sha256:{hashlib.sha256(layer).hexdigest()}", "a layer with other bytes"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as tar:
        assert tar.getnames() == ["plugin.wasm"], tar.getnames()
        assert tar.extractfile("plugin.wasm").read() == MODULE.read_bytes(), "another module"
    print(f"image: {kind}, one layer of {len(layer)} bytes, plugin.wasm is {MODULE.relative_to(ROOT)}")


with registry(sys.argv[1]) as where:
    check(where)
