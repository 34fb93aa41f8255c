"""The environments of the peers: made once, each in a folder of its own, with pinned versions."""

import subprocess
from pathlib import Path

from peers.base import Peer


class PeerError(Exception):
    """A peer cannot be measured; the message says why."""


def environment_of(peer: Peer, root: Path) -> Path:
    """Folder of the peer's environment.

    Raises:
        PeerError: it was not made, or its making failed.
    """
    environment = root / peer.folder
    if peer.requirements and not (environment / ".ready").exists():
        raise PeerError(f"not installed in {environment}; --install does that")
    return environment


def install(peer: Peer, root: Path, python: str) -> None:
    """Makes the environment unless it is there with these requirements.

    Raises:
        PeerError: pip or the interpreter fails; the message ends with its last lines.
    """
    environment = root / peer.folder
    ready = environment / ".ready"
    wanted = "\n".join(peer.requirements)
    if not peer.requirements or (ready.exists() and ready.read_text() == wanted):
        return
    _run([python, "-m", "venv", "--clear", str(environment)])
    _run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *peer.requirements])
    ready.write_text(wanted)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise PeerError(f"{' '.join(command[:4])} failed: " + " ".join(done.stderr.split()[-60:]))
