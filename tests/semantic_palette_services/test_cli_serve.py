"""The commands serve, models and status, as a user runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_helpers import COMMAND, Stubs, scrape, serving_in_process
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tiny_bundle import FACES, corrupt, write_tiny_bundle

from semantic_palette.cli.main import run as run_command
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_services.server import logs


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(COMMAND), *arguments], capture_output=True, text=True, timeout=120, check=False)


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs a command line in this process, whose logging stays as it is."""
    monkeypatch.setattr(logs, "configure_logging", lambda level: None)

    def run_here(*arguments: object) -> Result:
        code = run_command([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run_here


def test_a_server_of_everything_answers_scrapes_reflects_and_stops(tiny_root: Path) -> None:
    with serving_in_process(tiny_root) as server:
        with grpc.insecure_channel(server.address) as channel:
            pairs = list(Stubs.of(channel).factory.GeneratePairs(factory.GeneratePairsRequest(count=5)))
            assert [answer.pair.provenance.index for answer in pairs] == list(range(5))
            reflection = ProtoReflectionDescriptorDatabase(channel)
            assert {
                "semantic_palette.v1.PaletteService",
                "semantic_palette.v1.LayoutService",
                "semantic_palette.v1.ImageService",
                "semantic_palette.v1.FactoryService",
                "inference.GRPCInferenceService",
                "grpc.health.v1.Health",
            } <= set(reflection.get_services())
            file = reflection.FindFileContainingSymbol("semantic_palette.v1.FactoryService")
            assert [method.name for method in file.service[0].method] == ["GeneratePairs", "EditPairs"]
        assert scrape(server.metrics_port)["semantic_palette_pairs_total"] == 5
        status = run_process("status", "--address", server.address)
        assert status.returncode == 0, status.stderr
        assert status.stdout.count("SERVING") == 5
        assert "tiny/1" in status.stdout
        assert "pedestrian" in status.stdout
        assert server.terminate() == 0


def test_a_server_of_one_service_has_no_other(tiny_root: Path) -> None:
    with serving_in_process(tiny_root, "--services", "palette") as server:
        with grpc.insecure_channel(server.address) as channel:
            stubs = Stubs.of(channel)
            assert stubs.palette.SamplePalettes(palette.SamplePalettesRequest(count=2)).palettes[1].index == 1
            with pytest.raises(grpc.RpcError) as caught:
                list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1)))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
        status = run_process("status", "--address", server.address)
        assert status.returncode == 0
        assert status.stdout.count("not here") == 4


def test_status_of_nobody_fails() -> None:
    status = run_process("status", "--address", "127.0.0.1:1", "--timeout", "2")
    assert status.returncode == 1
    assert "UNAVAILABLE" in status.stdout


def test_why_an_engine_was_chosen_is_logged(tiny_root: Path) -> None:
    with serving_in_process(tiny_root, "--services", "image") as server:
        assert server.log[0].startswith("{")
        entries = [json.loads(line) for line in server.log]
    messages = [entry["message"] for entry in entries]
    assert any("onnxruntime" in message and "psnr_db" in message for message in messages)
    assert entries[-1].keys() == {"time", "level", "logger", "message"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--services", "teapot"), "services"),
        (("--services", "factory"), "palette_address"),
        (("--bundle", "cityscapes"), "cityscapes"),
        (("--engine", "abacus"), "abacus"),
        (("--bundle", "a/b/c"), "bundle"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    run: Callable[..., Result], tiny_root: Path, arguments: tuple[str, ...], expected: str
) -> None:
    ports = ("--port", "0", "--health-port", "0", "--metrics-port", "0")
    done = run("serve", "--model-store", tiny_root, *ports, *arguments)
    assert done.exit_code == 2
    assert expected in done.stderr


def test_a_corrupt_bundle_is_not_served(run: Callable[..., Result], store_root: Path) -> None:
    write_tiny_bundle(store_root)
    corrupt(store_root / "tiny" / "1" / "image.onnx")
    done = run("serve", "--model-store", store_root, "--port", "0", "--health-port", "0", "--metrics-port", "0")
    assert done.exit_code == 1
    assert "image.onnx" in done.stderr


def test_a_port_that_is_taken_is_named(run: Callable[..., Result], tiny_root: Path) -> None:
    free = {"--port": "0", "--health-port": "0", "--metrics-port": "0"}
    with serving_in_process(tiny_root, "--services", "palette") as server:
        taken = {
            "--port": server.address.rsplit(":", 1)[1],
            "--health-port": str(server.health_port),
            "--metrics-port": str(server.metrics_port),
        }
        for option, port in taken.items():
            ports = [word for pair in (free | {option: port}).items() for word in pair]
            done = run("serve", "--model-store", tiny_root, "--services", "palette", "--host", "127.0.0.1", *ports)
            assert done.exit_code == 1
            assert option.removeprefix("--").replace("-", "_") in done.stderr


def test_models_are_listed_shown_activated_and_rolled_back(run: Callable[..., Result], store_root: Path) -> None:
    write_tiny_bundle(store_root, version="1")
    write_tiny_bundle(store_root, version="2", seed=1, activate=False)
    options = ("--model-store", store_root)
    assert run("models", "list", *options).stdout == "tiny: 1* 2\n"
    shown = json.loads(run("models", "show", "tiny/2", "--json", *options).stdout)
    assert shown["digest"] == ModelStore(store_root).open("tiny", "2").digest
    assert shown["manifest"]["version"] == "2"
    assert run("models", "activate", "tiny/2", *options).exit_code == 0
    assert run("models", "list", *options).stdout == "tiny: 1 2*\n"
    assert run("models", "rollback", "tiny", *options).exit_code == 0
    assert run("models", "list", *options).stdout == "tiny: 1* 2\n"


def test_a_bundle_is_shown_in_a_few_lines(run: Callable[..., Result], store_root: Path) -> None:
    write_tiny_bundle(store_root, models=FACES, budget="additions", image="styled")
    shown = run("models", "show", "tiny", "--model-store", store_root).stdout
    facts = ("tiny/1", "16 x 32", "6 of tiny: sky, building", "random weights", "budget: additions", "labels, styles")
    assert all(fact in shown for fact in facts), shown
    assert ModelStore(store_root).open().digest[:32] in shown
    assert len(shown.splitlines()) < 40


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("activate", "tiny/9"), "9"), (("activate", "tiny"), "NAME/VERSION"), (("rollback", "tiny"), "before")],
)
def test_models_that_are_not_there_are_named(
    run: Callable[..., Result], tiny_root: Path, arguments: tuple[str, ...], expected: str
) -> None:
    done = run("models", *arguments, "--model-store", tiny_root)
    assert done.exit_code == 2
    assert expected in done.stderr
