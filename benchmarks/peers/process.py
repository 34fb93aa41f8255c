"""A server as a tree of processes: started, watched and ended as one, however its parts daemonise."""

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

_MARK = "SERVING_PEERS_RUN"
_TICK = os.sysconf("SC_CLK_TCK")


class ProcessTree:
    """A command and everything that it starts, recognised by a mark in the environment.

    Args:
        command: what to run.
        environment: added to that of this process.
        folder: working directory; the output goes to `log.txt` in it.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**_clean_environment(), **environment, name: value},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether the command itself has ended."""
        return self._process.poll() is not None

    def pids(self) -> list[int]:
        """Processes of the tree that live."""
        mark = self._mark.encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue  # it has just ended, or is not ours
        return found

    def cpu_seconds(self) -> float:
        """Processor time that the living processes have used."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def memory_bytes(self) -> int:
        """Proportional set size: pages that processes share count once."""
        return sum(_pss_bytes(pid) for pid in self.pids())

    def stop(self) -> None:
        """Ends everything: politely first, and after ten seconds by force."""
        if not self.ended:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10.0
        while self.pids() and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.1)
            if self.ended:
                self._signal_all(signal.SIGTERM)
        self._signal_all(signal.SIGKILL)
        self._process.wait(10.0)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def busy_seconds() -> float:
    """Processor time that the whole machine has used since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + softirq + steal) / _TICK


def _clean_environment() -> dict[str, str]:
    """This process's environment without what belongs to its Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
