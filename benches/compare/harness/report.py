"""Medians, ratios of paired runs, a table for people and JSON for keeps."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from harness.cells import target
from harness.servers import KEEPERS
from harness.servers import STORES
from harness.servers import version

RESULTS = Path(__file__).resolve().parents[1] / "results"


def spread(values, digits=2):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratios(samples, name, other):
    """One ratio for each round: neighbours in time, so that a machine that slows down slows both."""
    return [mine.cpu / theirs.cpu for mine, theirs in zip(samples[name], samples[other]) if theirs.cpu]


def print_cell(cell, samples):
    print(f"\n{cell.title()}: {cell.count} requests a run, {len(next(iter(samples.values())))} rounds")
    print(f"  {'':10} {'CPU µs/request':>22} {'user':>7} {'kernel':>7} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, runs in samples.items():
        figures = [median(getattr(run, figure) for run in runs) for figure in ("user", "kernel", "rate", "p50", "p99")]
        user, kernel, rate, p50, p99 = figures
        cpu = spread([run.cpu for run in runs], 1)
        print(f"  {name:10} {cpu:>22} {user:7.1f} {kernel:7.1f} {rate:8.0f} {p50:8.2f} {p99:8.2f}")
    first, *others = samples
    for other in others:
        # Our own ways are compared with the first of them, proxies with us.
        one, two = (other, first) if first in (*STORES, *KEEPERS) else (first, other)
        print(f"  {one} / {two}: {spread(ratios(samples, one, two))}")
    _print_target(cell, samples)
    _print_unlike(samples)


def _print_target(cell, samples):
    aim = target(cell)
    if not aim or "vestibule" not in samples:
        return
    goal = f"  target: vestibule ≤ {aim.limit:.2f} × {aim.other}"
    if aim.other in samples:
        met = median(ratios(samples, "vestibule", aim.other)) <= aim.limit
        print(f"{goal}: {'met' if met else 'MISSED'}")
    else:
        print(f"{goal}: not measured")


def _print_unlike(samples):
    """The same cipher and key exchange, or the comparison is none."""
    spoken = {name: runs[0].tls for name, runs in samples.items()}
    if len(set(spoken.values())) > 1:
        print(f"  CAUTION: they do not speak the same TLS: {spoken}")


def surroundings(names):
    """What the figures depend on besides the code."""
    about = Path("/proc/cpuinfo").read_text().splitlines()
    processor = [line.partition(":")[2].strip() for line in about if line.startswith("model name")]
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "taken": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "revision": revision.stdout.strip(),
        "processor": processor[0] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "programs": {name: version(name) for name in (*names, "h2load", "ab")},
    }


def write(kind, content):
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwritten to {os.path.relpath(path)}")


def plain(cell, samples):
    """For the JSON file."""
    return {**asdict(cell), "runs": {name: [asdict(run) for run in runs] for name, runs in samples.items()}}
