"""The idle operator: how much memory and CPU it takes when nothing is due.

Measured inside its pod on the local cluster, from /proc of process 1, over a minute in which no
test runs.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.bench.figure import Figure
from tests.support.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "hack/cluster/cluster"
SECONDS = 60.0
READ = (
    "import os; f = open('/proc/1/stat').read().rsplit(')', 1)[1].split(); "
    "print((int(f[11]) + int(f[12])) / os.sysconf('SC_CLK_TCK'), "
    "int(f[21]) * os.sysconf('SC_PAGE_SIZE'))"
)
"""utime + stime in seconds, and the resident set in bytes (proc(5))."""


def measure() -> list[Figure]:
    """Return the operator's resident set and its share of a core over a minute."""
    subprocess.run([CLUSTER, "up"], check=True)
    subprocess.run([ROOT / "hack/deploy"], check=True)
    found = subprocess.run([CLUSTER, "kubeconfig"], check=True, capture_output=True, text=True)
    kubectl = Kubectl(Path(found.stdout.strip()), "backstay")
    time.sleep(SECONDS)  # The start's own work, and the first resync, are not idling.
    before, _ = read_operator(kubectl)
    began = time.monotonic()
    time.sleep(SECONDS)
    after, resident = read_operator(kubectl)
    share = 100 * (after - before) / (time.monotonic() - began)
    method = f"/proc/1/stat in the operator's pod, {SECONDS:g} s apart, nothing due"
    mebibytes = resident / 2**20
    return [
        Figure("idle resident set", mebibytes, "MiB", "< 150", mebibytes < 150, method),
        Figure("idle share of a core", share, "%", "< 2", share < 2, method),
    ]


def read_operator(kubectl: Kubectl) -> tuple[float, int]:
    """Given kubectl in the operator's namespace, return its CPU seconds and resident bytes."""
    answer = kubectl("exec", "deploy/backstay", "--", "python3", "-c", READ)
    if not answer.ok:
        raise RuntimeError(f"the operator's pod cannot be read: {answer.err}")
    cpu, resident = answer.out.split()
    return float(cpu), int(resident)
