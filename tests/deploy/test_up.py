"""`make up` runs the services and Prometheus together, and stops them in the right order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

UP = Path(__file__).resolve().parents[2] / "scripts" / "up"

SERVICES = """#!/bin/sh
trap 'echo "serve interrupted" >> log; exit 4' INT
trap 'sleep 0.2; echo "serve drained" >> log; exit 3' TERM
echo "serve $*" >> log
while true; do sleep 0.05; done
"""
PROMETHEUS = """#!/bin/sh
trap 'echo "prometheus interrupted" >> log; exit 4' INT
trap 'echo "prometheus stopped" >> log; exit 0' TERM
echo "prometheus started" >> log
while true; do sleep 0.05; done
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose services only log, and a PATH with nothing but what the scripts need."""
    (tmp_path / "bin").mkdir()
    for program in ("bash", "mkdir", "sleep"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or f"/bin/{program}")
    install(tmp_path / ".venv" / "bin" / "semantic-palette", SERVICES)
    return tmp_path


def install(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def interrupt(folder: Path, sent: signal.Signals, *arguments: str, after_lines: int) -> tuple[list[str], int]:
    """Run scripts/up and return the lines that were logged and the exit status.

    Once so many lines are logged, a signal is sent to the script's process group, as a terminal does.
    """
    log = folder / "log"
    process = subprocess.Popen(
        [UP, *arguments],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not log.exists() or len(log.read_text().splitlines()) < after_lines:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, sent)
        status = process.wait(timeout=60)
    finally:
        process.kill()
    return log.read_text().splitlines(), status


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_services_drain_before_prometheus_stops(folder: Path, sent: signal.Signals) -> None:
    install(folder / "bin" / "prometheus", PROMETHEUS)

    log, status = interrupt(folder, sent, "--engine", "onnxruntime", after_lines=2)

    assert sorted(log[:2]) == ["prometheus started", "serve serve --engine onnxruntime"]
    assert log[2:] == ["serve drained", "prometheus stopped"]
    assert status == 3, "the status is that of the services"


def test_services_run_without_prometheus(folder: Path) -> None:
    log, status = interrupt(folder, signal.SIGTERM, after_lines=1)

    assert log == ["serve serve", "serve drained"]
    assert status == 3
