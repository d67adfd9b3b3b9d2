#!/usr/bin/env python3
"""Measures the filter against no filter, Envoy's own CORS filter, a do-nothing filter on the Rust SDK and an empty Lua filter.

Prints tables, and writes them with the raw numbers and pictures into target/bench. Takes less than 15 minutes. The exit
status says whether everything could be measured, never whether it was fast.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # before our own modules: nothing is written beside the sources

import envoy
import figures
import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "bench"
VERSION = "1.40.0"
PINS = ROOT / "tests" / "requirements" / "bench.txt"
MODULE = ROOT / "dist" / "envoy_cors.wasm"
PICTURES = ("per-copy.svg", "allowlist.svg")
MINUTES = 14  # the heap's turn is last, and gets what is left of them


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a first look in about two minutes")
    parser.add_argument("--requests", type=int, default=5_000_000, help="mixed requests for the growth of wasm memory, as far as time allows")
    parser.add_argument("--module", type=pathlib.Path, default=MODULE, help="another build of the filter")
    parser.add_argument("--publish", type=pathlib.Path, metavar="DIR", help="also copy the pictures to DIR")
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    started = time.monotonic()

    OUT.mkdir(parents=True, exist_ok=True)
    if not args.module.is_file():
        sys.exit(f"{args.module} is missing: `make wasm` makes it")
    binary = pathlib.Path(said(ROOT / "tests" / "install-envoy", VERSION))
    install_wrk()
    python = install_venv()
    modules = {figures.OURS: args.module.resolve(), figures.NOOP: build("noop"), figures.FLOOR: build("floor")}

    cpus = choose_cpus()
    load_before = os.getloadavg()[0]
    os.sched_setaffinity(0, {cpus["load"]})
    before = cpu_times()
    upstream = [envoy.listener("upstream", [], envoy.direct_response())]
    with envoy.Envoy(binary, OUT, "upstream", cpus["load"], upstream) as server:
        site = figures.Site(binary, modules, OUT, cpus["envoy"], server.ports["upstream"])
        rows = run(site, args, started + 60 * MINUTES)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(binary),
        "cpus": cpus,
        "quick": args.quick,
        "size": args.module.stat().st_size,
        "noise": noise(load_before, before, cpu_times()),
        "rows": rows,
    }
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    tables = report.render(results)
    (OUT / "tables.md").write_text(tables)
    subprocess.run([python, "-B", HERE / "pictures.py", OUT / "results.json", OUT], check=True)
    print(f"\n{tables}")
    if args.publish:
        args.publish.mkdir(parents=True, exist_ok=True)
        for name in PICTURES:
            shutil.copy(OUT / name, args.publish / name)
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; tables, raw numbers and pictures are in {OUT.relative_to(ROOT)}")


def run(site, args, deadline):
    """Every figure, with its share of the time."""
    most, least, factor = (2, 2, 0) if args.quick else (9, 5, 1)
    shares = {  # in seconds, for machines that are slower than the author's
        "per_copy": (figures.per_copy, 190),
        "whole_request": (figures.whole_request, 180),
        "own_cost": (figures.own_cost, 150),
        "start_and_memory": (figures.start_and_memory, 60),
        "bodies": (lambda site, rounds: figures.bodies(site, rounds, 4 if args.quick else 16), 40),
    }
    rows = {}
    for name, (function, seconds) in shares.items():
        print(f"{name.replace('_', ' ')} …")
        rows[name] = function(site, figures.Rounds(most, least, seconds * factor))
    print("wasm growth …")
    rows["wasm_growth"] = figures.wasm_growth(site, args.requests, 10 if args.quick else deadline - time.monotonic())
    return rows


# --- What is needed ---


def said(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def install_wrk():
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit("the load comes from wrk, which is not installed. On Debian and Ubuntu: apt-get install wrk")
    print("installing wrk")
    quietly = {"stdout": subprocess.DEVNULL, "check": True, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "--quiet"], **quietly)
    subprocess.run(["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "wrk"], **quietly)


def install_venv():
    """A Python with what draws the pictures."""
    home = OUT / "venv"
    installed = home / "pins"
    if not installed.is_file() or installed.read_text() != PINS.read_text():
        print(f"installing what draws the pictures into {home.relative_to(ROOT)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", PINS], check=True)
        installed.write_text(PINS.read_text())
    return home / "bin" / "python"


def build(package):
    """One of the filters beside this file."""
    target, folder = "wasm32-wasip1", OUT / "filters"
    subprocess.run(["rustup", "--quiet", "target", "add", target], cwd=HERE / package, check=True)
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target", target, "--target-dir", folder]
    subprocess.run(command, cwd=HERE / package, check=True)
    return folder / target / "release" / f"{package}.wasm"


# --- The machine ---


def choose_cpus():
    """One CPU for the measured Envoy and one for the rest, on different cores if there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("the benchmark needs two CPUs, one for Envoy and one for the load")
    chosen = cpus[-1]  # the first one often serves the machine's interrupts
    others = [cpu for cpu in cpus if cpu != chosen]
    apart = [cpu for cpu in others if cpu not in siblings(chosen)]
    return {"envoy": chosen, "load": (apart or others)[0]}


def siblings(cpu):
    """The CPUs that share its core."""
    try:
        text = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return set()
    ends = [[int(end) for end in part.split("-")] for part in text.strip().split(",")]
    return {number for end in ends for number in range(end[0], end[-1] + 1)}


def cpu_times():
    """Jiffies of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(value) for value in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def noise(load_before, before, after):
    spent = [b - a for a, b in zip(before, after)]
    return (
        f"Load average before the measurements: {load_before:.2f}; CPU time that the hypervisor gave to others during them:"
        f" {100 * spent[7] / sum(spent):.2f} %.\n"
    )


def machine(binary):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cpu = model[1] if model else platform.machine()
    wrk = subprocess.run(["wrk", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[1]
    built = re.search(r"/(\d+\.\d+\.\d+)/", said(binary, "--version"))[1]
    rust = said("rustc", "--version").split()[1]
    return f"Envoy {built}, wrk {wrk}, Rust {rust}; {cpu}, {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}\n"


if __name__ == "__main__":
    main()
