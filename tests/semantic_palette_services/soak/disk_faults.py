"""A disk that is full while pairs are written to it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from soak import commands
from soak.deployment import Deployment
from soak.ledger import Ledger
from soak.load import SEEDS

_PAIRS = 150
_SMALL, _LARGE = "400k", "64m"
_BLOCKS = 32
"""Size that a file may have where no file system can be mounted, in KiB: less than the index of all pairs."""


async def full_disk(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """`generate` says that the disk is full and leaves whole pairs; with room, the same command completes them."""
    seed = rng.randrange(SEEDS)
    with tempfile.TemporaryDirectory() as folder, _small_disk(Path(folder)) as mounted:
        out = Path(folder) / "pairs"
        prefix = () if mounted else ("sh", "-c", f'ulimit -f {_BLOCKS}; exec "$0" "$@"')
        command = commands.generate(deployment, out, _PAIRS, seed)
        ended = await commands.run(*command, prefix=prefix)
        clear = ended.status == 1 and ended.said.startswith("error:") and "Traceback" not in ended.said
        ledger.check(clear, f"full disk: ended with {ended.status}: {ended.said}")
        said = "No space left" if mounted else "File too large"
        ledger.check(said in ended.said, f"full disk: does not say so: {ended.said}")
        left = commands.check_folder(out, seed, ledger, "full disk")
        ledger.check(0 < left < _PAIRS, f"full disk: {left} of {_PAIRS} pairs fitted")
        ledger.counts["pairs left on full disks"] += left
        if mounted:
            _mount(Path(folder), f"remount,size={_LARGE}")
        ended = await commands.run(*command)
        ledger.check(ended.status == 0, f"full disk: the same command ended with {ended.status}: {ended.said}")
        total = commands.check_folder(out, seed, ledger, "full disk")
        ledger.check(total == _PAIRS, f"full disk: {total} of {_PAIRS} pairs once there was room")


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A small file system in a folder; gives whether it could be mounted, which takes root."""
    mounted = _mount(folder, f"size={_SMALL}")
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _mount(folder: Path, options: str) -> bool:
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
