"""`generate` and `show` with the real services, from the command line to the files, on a tiny bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from grpc_helpers import serving_in_process
from PIL import Image
from tiny_bundle import write_tiny_bundle

from semantic_palette.budget import integer_budget
from semantic_palette.cli.main import run
from semantic_palette.constraints import Constraints
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette import histogram, kl_divergence, palette_from_shares
from semantic_palette_services.runtime.store import BundleFiles, ModelStore

KEYS = "id seed requested achieved kl label image bundle bundle_digest engine palette_origin"
PALETTES = [{"road": 0.5, "sky": 0.3, "car": 0.2}, {"building": 0.333, "road": 0.333, "tree": 0.334}]
NUM_PIXELS = 16 * 32


def generate(model_store: Path, out: Path, *options: object) -> int:
    where = ["--model-store", str(model_store), "--engine", "onnxruntime"]
    return run(["generate", "--out", str(out), *where, *map(str, options)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]


def counts(out: Path, line: dict[str, Any], space: LabelSpace) -> npt.NDArray[np.int64]:
    """Pixels of each class in a label file, int64 [K]."""
    with Image.open(out / line["label"]) as label:
        assert (label.format, label.mode, label.size) == ("PNG", "L", (32, 16))
        return np.bincount(np.asarray(label).ravel(), minlength=space.num_classes)


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def palettes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("palettes") / "palettes.json"
    path.write_text(json.dumps(PALETTES))
    return path


def check_lines(out: Path, files: BundleFiles, count: int, seed: int) -> None:
    """What holds for every folder: keys, identities, and shares and KL that are those of the files."""
    space = files.manifest.label_space
    written = lines(out)
    assert [line["id"] for line in written] == [f"{i:06d}" for i in range(count)]
    for line in written:
        assert " ".join(line) == KEYS
        assert (line["seed"], line["bundle"], line["bundle_digest"]) == (seed, "tiny", files.digest)
        assert line["engine"] == "onnxruntime-fp32"
        assert list(line["requested"]) == list(line["achieved"]) == list(space.names)
        with Image.open(out / line["label"]) as label, Image.open(out / line["image"]) as image:
            achieved = histogram(np.asarray(label), space.num_classes)
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 16))
        np.testing.assert_array_equal(list(line["achieved"].values()), achieved)
        requested = np.array(list(line["requested"].values()))
        assert requested.sum() == pytest.approx(1.0)
        assert line["kl"] == pytest.approx(float(kl_divergence(requested, achieved)), abs=1e-9)


@pytest.mark.parametrize("adherence", ["natural", "exact"])
def test_given_palettes_are_followed_in_turn(
    tiny_root: Path, tiny_files: BundleFiles, tmp_path: Path, palettes: Path, adherence: str
) -> None:
    options = ("--count", 5, "--seed", 3, "--palettes", palettes, "--adherence", adherence)
    assert generate(tiny_root, tmp_path, *options) == 0
    check_lines(tmp_path, tiny_files, count=5, seed=3)
    space = tiny_files.manifest.label_space
    for i, line in enumerate(lines(tmp_path)):
        requested = palette_from_shares(space, PALETTES[i % 2])
        np.testing.assert_allclose(list(line["requested"].values()), requested, atol=1e-12)
        counted = counts(tmp_path, line, space)
        assert not counted[requested == 0].any()
        if adherence == "exact":
            np.testing.assert_array_equal(counted, integer_budget(requested, NUM_PIXELS))


@pytest.mark.parametrize("adherence", ["natural", "exact"])
def test_drawn_palettes_keep_their_bounds(
    tiny_root: Path, tiny_files: BundleFiles, tmp_path: Path, adherence: str
) -> None:
    bounds = ("--min", "car=0.1", "--max", "road=0.3", "--fix", "sky=0.25")
    assert generate(tiny_root, tmp_path, "--count", 4, "--adherence", adherence, *bounds) == 0
    check_lines(tmp_path, tiny_files, count=4, seed=0)
    space = tiny_files.manifest.label_space
    limits = Constraints(fixed={"sky": 0.25}, minimum={"car": 0.1}, maximum={"road": 0.3}).bounds(space)
    for line in lines(tmp_path):
        requested = np.array(list(line["requested"].values()))
        assert requested[space.id_of("car")] >= 0.1 - 1e-9
        assert requested[space.id_of("road")] <= 0.3 + 1e-9
        assert requested[space.id_of("sky")] == pytest.approx(0.25)
        if adherence == "exact":
            budget = integer_budget(requested, NUM_PIXELS, limits)
            np.testing.assert_array_equal(counts(tmp_path, line, space), budget)
            assert budget[space.id_of("sky")] == NUM_PIXELS // 4
            assert budget[space.id_of("car")] >= 0.1 * NUM_PIXELS


@pytest.mark.parametrize("adherence", ["natural", "exact"])
def test_deterministic_pairs_are_the_same_bytes_again_and_at_an_address(
    tiny_root: Path, tmp_path: Path, palettes: Path, adherence: str
) -> None:
    options = ("--count", 6, "--seed", 11, "--adherence", adherence, "--deterministic", "--palettes", palettes)
    for name in ("once", "twice"):
        assert generate(tiny_root, tmp_path / name, *options) == 0
    with serving_in_process(tiny_root) as server:
        address = ["--address", server.address, "--out", str(tmp_path / "remote")]
        assert run(["generate", *address, *map(str, options)]) == 0
    once = content(tmp_path / "once")
    assert len(once) == 2 * 6 + 2
    assert content(tmp_path / "twice") == once
    assert content(tmp_path / "remote") == once


def test_a_job_that_was_cut_continues_to_the_same_bytes(tiny_root: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        assert generate(tiny_root, out, "--count", 4, "--deterministic") == 0
    index = cut / "pairs.jsonl"
    index.write_bytes(index.read_bytes()[:-300])
    assert generate(tiny_root, cut, "--count", 4, "--deterministic") == 0
    assert content(cut) == content(whole)


def test_a_bundle_may_be_named_by_version_and_digest(store_root: Path, tmp_path: Path) -> None:
    write_tiny_bundle(store_root, version="1")
    write_tiny_bundle(store_root, version="2", seed=1, activate=False)
    digests = {version: ModelStore(store_root).open("tiny", version).digest for version in ("1", "2")}
    references = {"tiny": "1", "tiny/2": "2", f"tiny/2@sha256:{digests['2']}": "2", f"tiny@{digests['1']}": "1"}
    for i, (reference, version) in enumerate(references.items()):
        out = tmp_path / str(i)
        assert generate(store_root, out, "--count", 1, "--bundle", reference) == 0
        assert lines(out)[0]["bundle_digest"] == digests[version]


def test_a_pair_that_the_models_fail_on_is_named(
    poisoned_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison = tmp_path / "palettes.json"
    poison.write_text(json.dumps([{"road": 1.0}, {"sky": 1.0}]))
    assert generate(poisoned_root, tmp_path / "out", "--count", 4, "--palettes", poison) == 1
    assert "pair 1 of seed 0: internal error" in capsys.readouterr().err
    assert [line["id"] for line in lines(tmp_path / "out")] == ["000000"]


def test_show_draws_and_measures_what_was_generated(
    tiny_root: Path, tmp_path: Path, palettes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tiny_root, tmp_path, "--count", 4, "--palettes", palettes, "--adherence", "exact") == 0
    capsys.readouterr()
    assert run(["show", str(tmp_path), "--count", "2"]) == 0
    printed = capsys.readouterr().out
    for words in ("0: road 50 %, sky 30 %, car 20 %", "1: tree 33 %", "median KL"):
        assert words in printed
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * 32
