"""How long does a server take from the start of its process until its health says that it serves?

    python benchmarks/startup.py --bundle camvid --engine onnxruntime --runs 7

Every run is a new `semantic-palette serve` whose health port is watched. The first run, which may find the files of the
bundle and of Python's libraries on the disk rather than in memory, is told apart from the others.

- seconds: wall time. Other processes on the machine lengthen it.
- cpu_seconds: user and system time of the server's threads, which others lengthen less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_overhead import processor_name

from semantic_palette_services.runtime.store import BundleReference, ModelStore

COMMAND = Path(sys.executable).with_name("semantic-palette")
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Run:
    """One start."""

    seconds: float
    cpu_seconds: float


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_serving(health_port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the health port says SERVING."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not come up"
        try:  # gRPC itself would wait a second before it tries again
            socket.create_connection(("127.0.0.1", health_port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.005)
    with grpc.insecure_channel(f"127.0.0.1:{health_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, from Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_once(arguments: argparse.Namespace) -> Run:
    health_port = free_port()
    command = [str(COMMAND), "serve", "--model-store", str(arguments.model_store), "--engine", arguments.engine]
    command += ["--port", "0", "--metrics-port", "0", "--health-port", str(health_port)]
    if arguments.bundle is not None:
        command += ["--bundle", arguments.bundle]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_until_serving(health_port, process)
            return Run(time.perf_counter() - started, cpu_seconds(process.pid))
        finally:
            process.kill()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    reference = BundleReference.parse(arguments.bundle)
    files = ModelStore(arguments.model_store).open(reference.name, reference.version)
    load_before = os.getloadavg()[0]
    first, *others = [start_once(arguments) for _ in range(arguments.runs)]
    return {
        "bundle": f"{files.manifest.name}/{files.manifest.version}@{files.digest}",
        "engine": arguments.engine,
        "machine": {
            "processor": processor_name(),
            "python": platform.python_version(),
            "load_average_before": round(load_before, 2),
        },
        "median": {
            "seconds": round(statistics.median(run.seconds for run in others), 3),
            "cpu_seconds": round(statistics.median(run.cpu_seconds for run in others), 3),
        },
        "first": {"seconds": round(first.seconds, 3), "cpu_seconds": round(first.cpu_seconds, 3)},
        "seconds": [round(run.seconds, 3) for run in others],
        "cpu_seconds": [round(run.cpu_seconds, 3) for run in others],
    }


def main() -> None:
    """Measure, print JSON, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--runs", type=int, default=7, help="at least 2")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments), indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
