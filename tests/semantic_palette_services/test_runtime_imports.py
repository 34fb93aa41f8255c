"""The runtime and the operations run for whoever asks, over whatever protocol, and are watched by whoever likes."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterable

import semantic_palette_services
from semantic_palette_services import access, runtime

TRANSPORT = {"grpc", "prometheus_client", "opentelemetry"}


def modules_below(package: object) -> list[str]:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    return [module for _, module, _ in pkgutil.walk_packages(path, f"{name}.")]


def imported(modules: Iterable[str], suspects: set[str]) -> set[str]:
    """Those of the suspects that a new process has imported once it has imported the modules."""
    program = f"""
import importlib, sys
for name in {list(modules)!r}:
    importlib.import_module(name)
print(*{{name.partition(".")[0] for name in sys.modules}} & {suspects!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_runtime_knows_neither_transport_nor_monitoring() -> None:
    modules = modules_below(runtime)
    assert "semantic_palette_services.runtime.batcher" in modules
    assert imported(modules, TRANSPORT | {"pydantic"}) == set()


def test_operations_and_access_know_neither_transport_nor_monitoring() -> None:
    operations = [name for name in modules_below(semantic_palette_services) if name.endswith("operation")]
    assert {name.split(".")[1] for name in operations} == {
        "factory",
        "image",
        "layout",
        "models",
        "openinference",
        "palette",
    }
    others = ["openinference.inference", "bundle_operations", "factory.local_stages", "codecs"]
    modules = [*operations, *modules_below(access), *(f"semantic_palette_services.{name}" for name in others)]
    assert imported(modules, TRANSPORT) == set()
    assert imported(["semantic_palette_services.layout.servicer"], TRANSPORT) == {"grpc"}
