"""What the tests of the deployment share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def run_tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in the repository.

    Where its program is not installed the test is skipped, but in CI it fails: there a check is never skipped.
    """

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        program = str(command[0])
        if shutil.which(program) is None:
            message = f"{program} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{message}, and CI skips no check")
            pytest.skip(message)
        return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)

    return run
