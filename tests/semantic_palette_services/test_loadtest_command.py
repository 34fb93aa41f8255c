"""`semantic-palette loadtest` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_helpers import serving_in_thread

from semantic_palette.cli.main import run as run_command
from semantic_palette_services.server.lifecycle import RunningServer

SHORT = ("--duration", 1.0, "--warmup", 0.2, "--seed", 5)


@pytest.fixture(scope="module")
def server(tiny_root: Path) -> Iterator[RunningServer]:
    with serving_in_thread(tiny_root) as (server, _):
        yield server


@pytest.fixture
def loadtest(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command; returns its exit code and what it printed."""

    def run(*arguments: object, address: str = server.address) -> tuple[int, str]:
        code = run_command(["loadtest", *(str(argument) for argument in arguments), "--address", address])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.mark.parametrize("workload", ["layouts", "images", "pairs"])
@pytest.mark.parametrize("options", [(), ("--raw", "--items", 3, "--priority", "bulk")])
def test_every_call_is_answered(loadtest: Callable[..., tuple[int, str]], workload: str, options: tuple[str]) -> None:
    code, printed = loadtest(workload, "--rate", 20, *SHORT, "--json", *options)
    report = json.loads(printed)
    assert code == 0
    assert report["offered"] > 5
    assert report["statuses"] == {"OK": report["offered"]}
    assert report["lost"] == 0
    assert 0 < report["latency"]["p50"] <= report["latency"]["p99"] <= report["latency"]["max"]


@pytest.mark.parametrize("workload", ["layouts", "images", "pairs"])
def test_cancelled_and_invalid_calls_harm_nobody(loadtest: Callable[..., tuple[int, str]], workload: str) -> None:
    fractions = ("--cancel-fraction", 0.3, "--poison-fraction", 0.3)
    code, printed = loadtest(workload, "--rate", 60, *SHORT, "--json", *fractions)
    report = json.loads(printed)
    assert code == 0
    assert set(report["statuses"]) == {"OK"}
    assert set(report["poison"]) == {"INVALID_ARGUMENT"}
    assert report["cancelled"] > 0
    assert report["lost"] == 0
    counts = (*report["statuses"].values(), *report["poison"].values(), *report["answered_before_cancel"].values())
    assert sum(counts) + report["cancelled"] == report["offered"]


def test_tables_are_for_people(loadtest: Callable[..., tuple[int, str]]) -> None:
    code, printed = loadtest("layouts", "--rate", 20, *SHORT, "--deadline", 30, "--adherence", "exact")
    assert code == 0
    assert all(word in printed for word in ("goodput (/s)", "p99.9", "lag of the client", "valid"))


def test_calls_that_are_late_are_not_good(loadtest: Callable[..., tuple[int, str]]) -> None:
    code, printed = loadtest("images", "--rate", 20, *SHORT, "--deadline", 1e-6, "--json")
    report = json.loads(printed)
    assert code == 0
    assert set(report["statuses"]) == {"DEADLINE_EXCEEDED"}
    assert (report["goodput"], report["latency"]) == (0, None)


def test_saturation_is_searched_for(loadtest: Callable[..., tuple[int, str]]) -> None:
    # A deadline that nothing meets: no rate is followed, so that the search is over after four steps.
    options = ("--find-saturation", "--rate", 10, "--deadline", 1e-6, "--duration", 0.3, "--warmup", 0)
    code, printed = loadtest("layouts", *options)
    assert code == 0
    assert "saturation: 0.0 calls a second" in printed
    code, printed = loadtest("layouts", *options, "--json")
    found = json.loads(printed)
    assert [step["rate"] for step in found["steps"]] == [10, 5, 2.5, 1.25]


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("gifts",), 2, "workload"),
        (("layouts", "--rate", 0), 2, "rate"),
        (("layouts", "--warmup", -1), 2, "warmup"),
        (("layouts", "--deadline", 0), 2, "deadline"),
        (("layouts", "--poison-fraction", 2), 2, "poison_fraction"),
        (("layouts", "--bundle", "tiny/9"), 2, "bundle"),
        (("layouts", "--bundle", "other"), 2, "other"),
    ],
)
def test_bad_arguments_are_named_before_any_load(
    loadtest: Callable[..., tuple[int, str]], arguments: tuple[object, ...], code: int, named: str
) -> None:
    exit_code, printed = loadtest(*arguments)
    assert exit_code == code
    assert printed.startswith("error:")
    assert named in printed


def test_no_service_is_an_error_and_not_a_report(loadtest: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, printed = loadtest("layouts", address=f"unix:{tmp_path}/nobody.sock")
    assert code == 1
    assert "UNAVAILABLE" in printed
