"""tests/dist.py FOLDER: what `make dist` left there."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
version = folder.name.removeprefix("envoy-cors-")
host = next(line.split()[1] for line in subprocess.check_output(["rustc", "-vV"], text=True).splitlines() if line.startswith("host: "))
wasm, command = f"envoy-cors-{version}.wasm", f"envoy-cors-{version}-{host}"

names = sorted(path.name for path in folder.iterdir())
assert names == sorted([wasm, f"{wasm}.cdx.json", command, f"{command}.cdx.json", "SHA256SUMS"]), names

sums = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names if name != "SHA256SUMS")
assert (folder / "SHA256SUMS").read_text() == sums, sums

assert (folder / wasm).read_bytes() == pathlib.Path("dist/envoy_cors.wasm").read_bytes()
assert subprocess.check_output([folder / command, "-V"], text=True) == f"envoy-cors {version}\n"

for name in names:
    content = (folder / name).read_bytes()
    for place in (os.getcwd(), os.path.expanduser("~/")):
        assert place.encode() not in content, f"{name} tells that it was made in {place}"

for name, target in ((wasm, "wasm32-wasip1"), (command, host)):
    tree = ["cargo", "tree", "--locked", "--edges=normal", "--prefix=none", "--no-dedupe", "--format={p}", f"--target={target}"]
    linked = {" ".join(line.split()[:2]) for line in subprocess.check_output(tree, text=True).splitlines()}
    bom = json.loads((folder / f"{name}.cdx.json").read_text())
    component = bom["metadata"]["component"]
    listed = {f"{it['name']} v{it['version']}" for it in [*bom["components"], {**component, "name": "envoy-cors"}]}
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    # It may list more: macros, and what the features of another target would link.
    assert linked <= listed, linked - listed
    assert all(it["licenses"] and it["hashes"] for it in bom["components"]), "a component without a licence or a checksum"
    print(f"{name}: links {len(linked)} packages, and lists {len(listed)}")
