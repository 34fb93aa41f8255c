"""The runtime runs models for whoever asks, over whatever protocol, and is watched by whoever likes."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

from semantic_palette_services import runtime

TRANSPORT = {"grpc", "prometheus_client", "opentelemetry", "pydantic"}


def test_the_runtime_knows_neither_transport_nor_monitoring() -> None:
    modules = [name for _, name, _ in pkgutil.walk_packages(runtime.__path__, f"{runtime.__name__}.")]
    assert "semantic_palette_services.runtime.batcher" in modules
    program = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {TRANSPORT!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
