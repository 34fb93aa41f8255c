"""`generate` and `show` from the command line to the folder, against real services that are small."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from fake_services import DIGEST, HEIGHT, SPACE, WIDTH, Fakes, Fault, serving
from PIL import Image

from semantic_palette.cli import _backend
from semantic_palette.cli.main import run
from semantic_palette.palette import histogram

KEYS = "id seed requested achieved kl label image bundle bundle_digest engine palette_origin"


@dataclass
class EntryPoint:
    """An installed backend, as importlib.metadata would give it."""

    load: object


@pytest.fixture
def fakes(monkeypatch):
    """Services that `generate` starts in its own event loop; the fixture also records how it starts them."""
    fakes = Fakes()
    fakes.started = []

    @asynccontextmanager
    async def start(model_store, bundle, engine):
        fakes.started.append((str(model_store), bundle, engine))
        async with serving(fakes) as address:
            yield address
        assert fakes.in_flight == 0

    monkeypatch.setattr(_backend, "entry_points", lambda **_: [EntryPoint(lambda: start)])
    return fakes


def generate(out: Path, *options: object) -> int:
    return run(["generate", "--out", str(out), *map(str, options)])


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]


def content(out: Path) -> dict[str, bytes]:
    """Every file of a folder, temporary ones too."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def palettes_file(folder: Path, data: object) -> Path:
    path = folder / "palettes.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


class TestOutput:
    def test_folder_holds_what_the_contract_says(self, fakes, tmp_path, capsys):
        assert generate(tmp_path / "out", "--count", 3, "--seed", 5) == 0
        out = tmp_path / "out"
        files = [f"{kind}/{i:06d}.png" for kind in ("images", "labels") for i in range(3)]
        assert sorted(content(out)) == [*files[:3], "job.json", *files[3:], "pairs.jsonl"]
        for i, line in enumerate(lines(out)):
            assert " ".join(line) == KEYS
            assert (line["id"], line["seed"], line["bundle_digest"]) == (f"{i:06d}", 5, DIGEST)
            with Image.open(out / line["label"]) as label, Image.open(out / line["image"]) as image:
                assert (label.mode, label.size) == ("L", (WIDTH, HEIGHT))
                assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
                counted = histogram(np.asarray(label), SPACE.num_classes)
            assert line["achieved"] == dict(zip(SPACE.names, counted.tolist(), strict=True))
        printed = capsys.readouterr().out
        for words in ("3 pairs", "rate (pairs/s)", "mean KL", "max KL", "pedestrian", "achieved"):
            assert words in printed

    def test_brackets_in_a_path_are_no_markup(self, fakes, tmp_path, capsys):
        out = tmp_path / "run[v2][" / "a]"
        for words in ("2 pairs in", "already complete: 2 pairs in"):
            assert generate(out, "--count", 2) == 0
            assert f"{words} {out}\n" in capsys.readouterr().out
        assert run(["show", str(out)]) == 0
        assert f"contact sheet: {out}" in capsys.readouterr().out

    def test_given_palettes_are_used_in_turn(self, fakes, tmp_path):
        palettes = palettes_file(tmp_path, [{"sky": 1}, {"Road": 0.5, "lane marking": 0.5004}])
        assert generate(tmp_path / "out", "--count", 3, "--palettes", palettes) == 0
        requested = [line["requested"] for line in lines(tmp_path / "out")]
        assert [shares["sky"] for shares in requested] == [1.0, 0.0, 1.0]
        assert requested[1]["road"] == pytest.approx(0.5 / 1.0004)

    def test_options_reach_the_services(self, fakes, tmp_path):
        options = ["--min", "pedestrian=0.2", "--max", "road=0.3", "--max", "sky=0.1", "--fix", "car=0.05"]
        options += ["--adherence", "exact", "--deterministic", "--bundle", "fake", "--engine", "fake-engine"]
        assert generate(tmp_path, "--count", 1, "--model-store", "somewhere", *options) == 0
        request = fakes.requests[-1]
        constraints = request.sampling.constraints
        assert dict(constraints.minimum) == {"pedestrian": 0.2}
        assert dict(constraints.maximum) == {"road": 0.3, "sky": 0.1}
        assert dict(constraints.fixed) == {"car": 0.05}
        assert (request.adherence, request.deterministic, request.bundle.digest) == (2, True, DIGEST)
        assert fakes.started == [("somewhere", "fake", "fake-engine")]
        shares = lines(tmp_path)[0]["requested"]
        assert shares["pedestrian"] >= 0.2 - 1e-9
        assert shares["car"] == pytest.approx(0.05)

    @pytest.mark.parametrize("bundle", [f"fake@{DIGEST}", f"fake/1@{DIGEST}", f"fake/1@sha256:{DIGEST}"])
    def test_a_bundle_may_be_pinned_to_a_digest(self, fakes, tmp_path, bundle):
        assert generate(tmp_path, "--count", 1, "--bundle", bundle) == 0
        assert {request.bundle.digest for request in fakes.requests} == {DIGEST}

    def test_defaults_are_natural_adherence_seed_0_and_the_fastest_engine(self, fakes, tmp_path, monkeypatch):
        monkeypatch.setenv("SEMANTIC_PALETTE_MODEL_STORE", "elsewhere")
        assert generate(tmp_path, "--count", 1) == 0
        request = fakes.requests[-1]
        assert (request.adherence, request.deterministic, request.seed) == (1, False, 0)
        assert fakes.started == [("elsewhere", None, "auto")]


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ("[{", "a JSON file"),
            ({"sky": 1}, "not dict"),
            ([], "an empty list"),
            ([{"sky": 1}, 3], "palettes.json[1]"),
            ([{"sky": "all"}], "a share is a number"),
            ([{"sky": True}], "a share is a number"),
            ([{"sky": 0.5, "road": 0.4}], "sum to 0.9"),
            ([{"sky": 1}, {"dragon": 1}], "palettes[1]: 'dragon' is not allowed; the classes of streets are sky"),
            ([{"sky": 1.5, "road": -0.5}], "a share from 0 to 1"),
            ('[{"sky": NaN}]', "a share from 0 to 1"),
        ],
    )
    def test_a_palettes_file_that_cannot_be_used(self, fakes, tmp_path, capsys, data, words):
        palettes = palettes_file(tmp_path, data)
        assert generate(tmp_path / "out", "--count", 1, "--palettes", palettes) == 2
        assert_one_error_line(capsys, words)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--min", "road"], "--min: 'road' is not allowed; CLASS=SHARE"),
            (["--max", "road=much"], "--max: 'road=much'"),
            (["--fix", "road=1.5"], "--fix: 'road=1.5'"),
            (["--min", "road=nan"], "--min: 'road=nan'"),
            (["--min", "road=0.1", "--min", "road=0.2"], "road was given before"),
            (["--min", "dragon=0.1"], "dragon"),
            (["--min", "road=0.7", "--min", "sky=0.4"], "sum to at most 1, not 1.1"),
            (["--fix", "road=0.2", "--max", "road=0.3"], "either fixed or bounded"),
            (["--engine", "x", "--address", "127.0.0.1:1"], "--engine"),
            (["--address", "nowhere"], "HOST:PORT"),
            (["--bundle", "unknown"], "no bundle unknown"),
            (["--bundle", "fake/2"], "the services serve fake/1"),
            (["--bundle", "fake/1@123"], "bundle: 'fake/1@123' is not allowed"),
        ],
    )
    def test_options_that_cannot_be_used(self, fakes, tmp_path, capsys, options, words):
        assert generate(tmp_path / "out", "--count", 1, *options) == 2
        assert_one_error_line(capsys, words)
        assert not (tmp_path / "out" / "job.json").exists()

    def test_palettes_and_constraints_exclude_each_other(self, fakes, tmp_path, capsys):
        palettes = palettes_file(tmp_path, [{"sky": 1}])
        assert generate(tmp_path / "out", "--count", 1, "--palettes", palettes, "--min", "sky=0.1") == 2
        assert_one_error_line(capsys, "--min would bind drawn palettes")

    @pytest.mark.parametrize(
        "options", [["--count", "0"], ["--seed", "-1"], ["--adherence", "perfect"], ["--palettes", "nothing.json"], []]
    )
    def test_usage_errors(self, tmp_path, options):
        assert run(["generate", "--out", str(tmp_path), *options]) == 2


class TestFailures:
    def test_services_that_fail_are_one_line_and_exit_code_1(self, fakes, tmp_path, capsys):
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL, "the model raised")]
        assert generate(tmp_path, "--count", 3) == 1
        assert_one_error_line(capsys, "the model raised (INTERNAL from 127.0.0.1:")

    def test_a_pair_that_cannot_be_made_is_named_and_what_to_do(self, fakes, tmp_path, capsys):
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL, "internal error 1f2e", after=2)]
        assert generate(tmp_path, "--count", 5, "--seed", 4) == 1
        assert_one_error_line(capsys, "pair 2 of seed 4: internal error 1f2e (INTERNAL from 127.0.0.1:")
        assert [line["id"] for line in lines(tmp_path)] == ["000000", "000001"]

    def test_what_to_do_about_a_pair_that_cannot_be_made(self, fakes, tmp_path, capsys):
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL)]
        assert generate(tmp_path, "--count", 1) == 1
        assert_one_error_line(capsys, "use another --seed and another folder")

    def test_without_a_backend_the_extra_is_named(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(_backend, "entry_points", lambda **_: [])
        assert generate(tmp_path, "--count", 1) == 1
        assert_one_error_line(capsys, "pip install 'semantic-palette[serve,cpu]'")

    def test_a_backend_without_its_extra_names_it(self, tmp_path, capsys, monkeypatch):
        def load():
            raise ModuleNotFoundError("No module named 'onnxruntime'")

        monkeypatch.setattr(_backend, "entry_points", lambda **_: [EntryPoint(load)])
        assert generate(tmp_path, "--count", 1) == 1
        assert_one_error_line(capsys, "(No module named 'onnxruntime'): pip install 'semantic-palette[serve,cpu]'")

    def test_a_folder_that_cannot_be_written(self, fakes, tmp_path, capsys):
        (tmp_path / "labels").write_text("a file")
        assert generate(tmp_path, "--count", 1) == 1
        assert_one_error_line(capsys, "labels")


class TestContinuing:
    def test_the_same_command_goes_on_where_it_failed_and_makes_the_same_files(self, fakes, tmp_path, capsys):
        assert generate(tmp_path / "whole", "--count", 40, "--seed", 3) == 0
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL, after=21)]
        assert generate(tmp_path / "broken", "--count", 40, "--seed", 3) == 1
        assert len(lines(tmp_path / "broken")) == 21
        fakes.requests.clear()
        capsys.readouterr()
        assert generate(tmp_path / "broken", "--count", 40, "--seed", 3) == 0
        assert "continuing after 21 of 40" in capsys.readouterr().out
        assert (fakes.requests[-1].first_index, fakes.requests[-1].count) == (21, 19)
        assert content(tmp_path / "broken") == content(tmp_path / "whole")
        assert [bundle for _, bundle, _ in fakes.started] == [None, None, f"fake/1@{DIGEST}"]

    def test_a_complete_job_says_so_and_starts_nothing(self, fakes, tmp_path, capsys):
        assert generate(tmp_path, "--count", 2) == 0
        before = content(tmp_path)
        capsys.readouterr()
        assert generate(tmp_path, "--count", 2) == 0
        printed = capsys.readouterr().out
        assert "already complete: 2 pairs" in printed
        assert "mean KL" in printed
        assert len(fakes.started) == 1
        assert content(tmp_path) == before

    def test_another_job_is_refused_and_changes_nothing(self, fakes, tmp_path, capsys):
        assert generate(tmp_path, "--count", 2) == 0
        before = content(tmp_path)
        capsys.readouterr()
        assert generate(tmp_path, "--count", 2, "--seed", 1) == 2
        assert_one_error_line(capsys, "seed was 0 and is now 1")
        assert content(tmp_path) == before

    @pytest.mark.parametrize("given", [False, True])
    def test_a_larger_count_makes_the_rest(self, fakes, tmp_path, capsys, given):
        palettes = palettes_file(tmp_path, [{"sky": 1}, {"road": 0.5, "car": 0.5}, {"car": 1}])
        options = ("--palettes", palettes) if given else ("--min", "car=0.1")
        assert generate(tmp_path / "whole", "--count", 7, "--seed", 3, *options) == 0
        out = tmp_path / "grown"
        assert generate(out, "--count", 2, "--seed", 3, *options) == 0
        fakes.requests.clear()
        assert generate(out, "--count", 7, "--seed", 3, *options) == 0
        assert "continuing after 2 of 7" in capsys.readouterr().out
        assert (fakes.requests[-1].first_index, fakes.requests[-1].count) == (2, 5)
        assert fakes.started[-1][1] == f"fake/1@{DIGEST}"
        assert content(out) == content(tmp_path / "whole")

    def test_a_smaller_count_than_the_folder_holds_is_refused(self, fakes, tmp_path, capsys):
        assert generate(tmp_path, "--count", 3) == 0
        before = content(tmp_path)
        capsys.readouterr()
        assert generate(tmp_path, "--count", 2) == 2
        assert_one_error_line(capsys, "holds 3 already; ask for as many or more")
        assert content(tmp_path) == before

    def test_a_larger_count_that_is_refused_leaves_the_folder_as_it_was(self, fakes, tmp_path, capsys):
        assert generate(tmp_path, "--count", 2) == 0
        fakes.faults = [None, Fault(grpc.StatusCode.INVALID_ARGUMENT, "count: too many")]
        assert generate(tmp_path, "--count", 1000) == 2
        capsys.readouterr()
        assert generate(tmp_path, "--count", 2) == 0
        assert "already complete: 2 pairs" in capsys.readouterr().out

    def test_a_command_that_was_refused_can_be_corrected_in_the_same_folder(self, fakes, tmp_path):
        assert generate(tmp_path, "--count", 2, "--min", "dragon=0.1") == 2
        fakes.faults = [None, Fault(grpc.StatusCode.INVALID_ARGUMENT, "count: too many")]
        assert generate(tmp_path, "--count", 1000) == 2
        assert generate(tmp_path, "--count", 2, "--min", "car=0.1") == 0
        assert len(lines(tmp_path)) == 2

    def test_a_bundle_that_changed_meanwhile_is_not_mixed_in(self, fakes, tmp_path, capsys):
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL, after=1)]
        assert generate(tmp_path, "--count", 2) == 1
        fakes.digest = "f" * 64
        capsys.readouterr()
        assert generate(tmp_path, "--count", 2) == 1
        assert_one_error_line(capsys, "another digest is served")
        assert len(lines(tmp_path)) == 1


class TestProcess:
    """The command as a process of its own, against services at an address."""

    COUNT = 60

    def command(self, address: str, out: Path) -> list[str]:
        code = "from semantic_palette.cli.main import main; main()"
        options = ["--count", str(self.COUNT), "--seed", "1", "--address", address, "--out", str(out)]
        return [sys.executable, "-c", code, "generate", *options]

    @pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_interrupted_it_leaves_complete_pairs_and_continues(self, tmp_path, kill):
        async def scenario():
            fakes = Fakes(delay=0.02)
            async with serving(fakes) as address:
                process = await asyncio.create_subprocess_exec(
                    *self.command(address, tmp_path), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
                )
                await wait_for_lines(tmp_path, 10)
                process.send_signal(kill)
                _, stderr = await process.communicate()
                done = lines(tmp_path)
                again = await asyncio.create_subprocess_exec(
                    *self.command(address, tmp_path), stdout=subprocess.DEVNULL
                )
                assert await again.wait() == 0
                assert fakes.in_flight == 0
                return process.returncode, stderr.decode(), done, fakes.requests[-1].first_index

        code, stderr, done, first_index = asyncio.run(scenario())
        assert 10 <= len(done) < self.COUNT
        assert first_index == len(done)
        assert [line["id"] for line in lines(tmp_path)] == [f"{i:06d}" for i in range(self.COUNT)]
        if kill is not signal.SIGKILL:
            assert code == 130
            assert f"interrupted: {len(done)} of {self.COUNT} pairs are complete" in stderr
            assert "Traceback" not in stderr


class TestShow:
    def test_writes_a_sheet_and_prints_the_kl_table(self, fakes, tmp_path, capsys):
        palettes = palettes_file(tmp_path, [{"sky": 1}, {"road": 0.5, "car": 0.5}, {"tree": 0.3, "sky": 0.7}])
        out = tmp_path / "out"
        assert generate(out, "--count", 7, "--palettes", palettes) == 0
        capsys.readouterr()
        assert run(["show", str(out)]) == 0
        printed = capsys.readouterr().out
        for words in ("mean KL", "median KL", "max KL", "0: sky 100 %", "1: road 50 %, car 50 %", "all"):
            assert words in printed
        with Image.open(out / "contact_sheet.png") as sheet:
            three = sheet.size
        assert run(["show", str(out), "--count", "1", "--out", str(tmp_path / "one.png")]) == 0
        with Image.open(tmp_path / "one.png") as sheet:
            assert sheet.width == three[0]
            assert sheet.height < three[1]

    def test_a_folder_without_pairs_is_bad_input(self, tmp_path, capsys):
        assert run(["show", str(tmp_path)]) == 2
        assert_one_error_line(capsys, "complete pairs")


async def wait_for_lines(out: Path, count: int) -> None:
    for _ in range(1000):
        await asyncio.sleep(0.02)
        if (out / "pairs.jsonl").exists() and len(lines(out)) >= count:
            return
    raise AssertionError("no pairs came")


def assert_one_error_line(capsys, words: str) -> None:
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert words in stderr
