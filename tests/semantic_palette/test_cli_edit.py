"""`edit` from the command line to the folder, against real services that are small."""

import base64
import fcntl
import hashlib
import json
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from fake_services import DIGEST, HEIGHT, SPACE, WIDTH, Fakes, Fault, draw_layout, serving
from PIL import Image

from semantic_palette.cli import _backend
from semantic_palette.cli.main import run
from semantic_palette.editing import Box
from semantic_palette.layout import decode_png, encode_png
from semantic_palette.palette import histogram

LABELS = draw_layout(np.eye(SPACE.num_classes)[:3].mean(axis=0), 0)
INSIDE = Box(2, 1, 12, 7).mask(HEIGHT, WIDTH)
BOX = ("--box", "2,1,12,7")
CAR = SPACE.id_of("car")


@pytest.fixture
def fakes(monkeypatch):
    """Services that the commands start in their own event loop; the fixture also records how they start them."""
    fakes = Fakes()
    fakes.started = []

    @asynccontextmanager
    async def start(model_store, bundle, engine):
        fakes.started.append((str(model_store), bundle, engine))
        async with serving(fakes) as address:
            yield address
        assert fakes.in_flight == 0

    class EntryPoint:
        load = staticmethod(lambda: start)

    monkeypatch.setattr(_backend, "entry_points", lambda **_: [EntryPoint()])
    return fakes


@pytest.fixture
def folder(fakes, tmp_path):
    assert run(["generate", "--count", "3", "--seed", "5", "--out", str(tmp_path / "pairs")]) == 0
    return tmp_path / "pairs"


@pytest.fixture
def layout(tmp_path):
    path = tmp_path / "layout.png"
    path.write_bytes(encode_png(LABELS))
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(path)
    return path


def edit(out: Path, *options: object) -> int:
    return run(["edit", "--out", str(out), *map(str, options)])


def lines(out: Path, name: str = "pairs.jsonl") -> list[dict]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


class TestPairs:
    def test_a_pair_of_a_folder_is_edited_with_its_look_and_seed(self, fakes, folder, tmp_path, capsys):
        out = tmp_path / "edited"
        capsys.readouterr()
        assert edit(out, folder, "--pair", 1, *BOX, "--target", "car=0.5", "--target", "sky=0.25", "--count", 2) == 0
        request = fakes.requests[-1]
        assert (request.seed, request.first_index, request.count) == (5, 0, 2)
        assert (request.sources[0].seed, request.sources[0].index) == (5, 1)
        before, image = pixels(folder / "labels/000001.png"), pixels(folder / "images/000001.png")
        for line in lines(out):
            labels = pixels(out / line["label"])
            np.testing.assert_array_equal(labels[~INSIDE], before[~INSIDE])
            np.testing.assert_array_equal(pixels(out / line["image"])[~INSIDE], image[~INSIDE])
            counted = histogram(labels, SPACE.num_classes)
            assert line["achieved"] == dict(zip(SPACE.names, counted.tolist(), strict=True))
            made = line["edit"]
            assert made["labels_sha256"] == hashlib.sha256(before.tobytes()).hexdigest()
            assert (made["look"], made["source"]) == ({"seed": 5, "index": 1}, 0)
            assert made["region"] == {"left": 2, "top": 1, "right": 12, "bottom": 7}
            assert (made["target"], made["deltas"]) == ({"car": 0.5, "sky": 0.25}, None)
            assert (made["requested"]["car"], made["area"]) == (0.5, INSIDE.mean())
            assert made["achieved"]["car"] == (labels[INSIDE] == CAR).mean()
            assert made["kl"] >= 0
            assert (labels[INSIDE] == CAR).mean() == pytest.approx(0.5, abs=0.02)
        printed = capsys.readouterr().out
        for words in (f"2 pairs in {out}", "mean shares of the region", "50.00", "25.00", "mean KL", "46.88"):
            assert words in printed
        assert run(["show", str(out)]) == 0

    def test_the_same_command_continues_and_another_is_refused(self, fakes, folder, tmp_path, capsys):
        out = tmp_path / "edited"
        command = (folder, "--pair", "000002", *BOX, "--add", "car=0.25", "--count", 3)
        fakes.faults = [None, Fault(grpc.StatusCode.INTERNAL, after=2)]
        assert edit(out, *command) == 1
        assert len(lines(out)) == 2
        assert edit(out, *command) == 0
        assert fakes.requests[-1].first_index == 2
        assert [line["id"] for line in lines(out)] == ["000000", "000001", "000002"]
        assert edit(out, *command) == 0
        assert "already complete: 3 pairs" in capsys.readouterr().out
        assert edit(out, *command[:-3], "car=0.3", "--count", 3) == 2
        assert "edit was" in capsys.readouterr().err
        assert edit(out, *command[:-1], 4) == 0
        assert fakes.requests[-1].first_index == 3
        assert edit(out, *command[:-1], 2) == 2
        assert "holds 4 already" in capsys.readouterr().err

    def test_an_edited_pair_can_be_edited_again_and_keeps_its_look(self, fakes, folder, tmp_path):
        assert edit(tmp_path / "once", folder, "--pair", 2, *BOX, "--target", "car=0.5", "--seed", 77) == 0
        assert edit(tmp_path / "twice", tmp_path / "once", "--delta", "car=-0.125") == 0
        source = fakes.requests[-1].sources[0]
        assert (source.seed, source.index) == (5, 2)
        assert dict(source.edit.deltas.deltas) == {"car": -0.125}

    def test_exactly_the_bundle_of_the_folder_is_the_default(self, fakes, folder, tmp_path, capsys):
        assert edit(tmp_path / "a", folder, "--target", "car=0.5") == 0
        assert edit(tmp_path / "b", folder, "--target", "car=0.5", "--bundle", f"fake@{DIGEST}", "--engine", "e") == 0
        assert fakes.started[-2:] == [
            ("model_store", f"fake/1@{DIGEST}", "auto"),
            ("model_store", f"fake@{DIGEST}", "e"),
        ]
        # Another version that is active by now, or served at the address, is not the one that made the pairs.
        fakes.digest = "0" * 64
        assert edit(tmp_path / "c", folder, "--target", "car=0.5") == 1
        assert "another digest is served" in capsys.readouterr().err
        assert edit(tmp_path / "c", folder, "--target", "car=0.5", "--bundle", "fake") == 0

    def test_files_are_a_pair_too(self, fakes, layout, photo, tmp_path):
        for out, named in (("a", ("--labels", layout)), ("b", (layout,))):
            assert edit(tmp_path / out, *named, "--image", photo, *BOX, "--target", "car=1", "--deterministic") == 0
            request = fakes.requests[-1]
            assert (request.seed, request.sources[0].seed, request.deterministic) == (0, 0, True)
            [line] = lines(tmp_path / out)
            np.testing.assert_array_equal(pixels(tmp_path / out / line["image"])[~INSIDE], pixels(photo)[~INSIDE])

    def test_a_mask_is_a_region(self, fakes, layout, photo, tmp_path):
        mask = tmp_path / "mask.png"
        mask.write_bytes(encode_png(INSIDE.astype(np.uint8) * 255))
        assert edit(tmp_path / "out", layout, "--image", photo, "--mask", mask, "--target", "car=1") == 0
        [line] = lines(tmp_path / "out")
        np.testing.assert_array_equal(pixels(tmp_path / "out" / line["label"])[INSIDE], CAR)
        job = json.loads((tmp_path / "out" / "job.json").read_text())["job"]
        assert list(job["edit"]["region"]) == ["mask_sha256"]
        kept = decode_png(base64.b64decode(line["edit"]["region"]["mask"]), 256)
        np.testing.assert_array_equal(kept != 0, INSIDE)


class TestLayouts:
    def test_a_layout_alone_becomes_layouts(self, fakes, layout, tmp_path, capsys):
        out = tmp_path / "out"
        assert edit(out, layout, *BOX, "--target", "car=0.5", "--count", 40, "--seed", 3) == 0
        assert not (out / "images").exists()
        written = lines(out, "layouts.jsonl")
        assert [line["id"] for line in written] == [f"{i:06d}" for i in range(40)]
        for line in written:
            labels = pixels(out / line["label"])
            np.testing.assert_array_equal(labels[~INSIDE], LABELS[~INSIDE])
            assert line["achieved"]["car"] == (labels[INSIDE] == CAR).mean()
            assert (line["requested"]["car"], line["area"]) == (0.5, INSIDE.mean())
        items = [item for request in fakes.requests[-2:] for item in request.items]
        assert [(item.seed, item.index) for item in items] == [(3, index) for index in range(40)]
        assert "40 layouts in" in capsys.readouterr().out

    def test_the_same_command_continues_and_another_is_refused(self, fakes, layout, tmp_path, capsys):
        out = tmp_path / "out"
        assert edit(out, layout, "--target", "car=0.5", "--count", 2) == 0
        with (out / "layouts.jsonl").open("ab") as file:
            file.write(b'{"id": "torn')
        assert edit(out, layout, "--target", "car=0.5", "--count", 3) == 0
        assert [item.index for item in fakes.requests[-1].items] == [2]
        assert len(lines(out, "layouts.jsonl")) == 3
        assert edit(out, layout, "--target", "car=0.5", "--count", 2) == 2
        assert "holds 3 already" in capsys.readouterr().err
        assert edit(out, layout, "--target", "car=0.6", "--count", 3) == 2
        assert "other edits" in capsys.readouterr().err

    def test_a_service_that_takes_fewer_at_a_time_is_asked_for_fewer(self, fakes, layout, tmp_path):
        fakes.max_items = 3
        assert edit(tmp_path / "out", layout, "--target", "car=0.5", "--count", 34) == 0
        asked = [request for request in fakes.requests if hasattr(request, "items")]
        assert [len(request.items) for request in asked][:5] == [32, 16, 8, 4, 2]
        assert [line["id"] for line in lines(tmp_path / "out", "layouts.jsonl")] == [f"{i:06d}" for i in range(34)]

    def test_what_was_begun_is_continued_with_its_bundle(self, fakes, layout, tmp_path, capsys):
        out = tmp_path / "out"
        assert edit(out, layout, "--target", "car=0.5", "--count", 2) == 0
        assert edit(out, layout, "--target", "car=0.5", "--count", 3) == 0
        assert fakes.started[-1][1] == f"fake/1@{DIGEST}"
        fakes.digest = "0" * 64
        assert edit(out, layout, "--target", "car=0.5", "--count", 4) == 1
        assert {line["bundle_digest"] for line in lines(out, "layouts.jsonl")} == {DIGEST}
        assert len(lines(out, "layouts.jsonl")) == 3
        assert edit(out, layout, "--target", "car=0.5", "--count", 4, "--bundle", "fake/2") == 2
        assert "not of fake/2" in capsys.readouterr().err

    @pytest.mark.parametrize("line", ['{"id": "000001"}', "[]", "no JSON", '{"id": 1}'])
    def test_lines_of_something_else_are_an_error_that_names_them(self, fakes, layout, tmp_path, capsys, line):
        out = tmp_path / "out"
        assert edit(out, layout, "--target", "car=0.5") == 0
        written = (out / "layouts.jsonl").read_text() + line + "\n"
        (out / "layouts.jsonl").write_text(written)
        assert edit(out, layout, "--target", "car=0.5", "--count", 3) == 1
        assert "layouts.jsonl: line 2 is not that of an edited layout" in capsys.readouterr().err
        assert (out / "layouts.jsonl").read_text() == written

    def test_a_folder_of_pairs_keeps_its_labels(self, fakes, folder, tmp_path, capsys):
        before = {path.name: path.read_bytes() for path in (folder / "labels").iterdir()}
        assert edit(folder, folder / "labels/000001.png", "--target", "car=0.5", "--count", 3) == 2
        assert "it holds pairs; use another folder" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in (folder / "labels").iterdir()} == before
        assert not (folder / "layouts.jsonl").exists()

    def test_a_folder_of_layouts_keeps_its_labels(self, fakes, folder, layout, tmp_path, capsys):
        out = tmp_path / "out"
        assert edit(out, layout, "--target", "car=0.5") == 0
        before = (out / "labels/000000.png").read_bytes()
        assert edit(out, folder, "--target", "car=0.75") == 2
        assert run(["generate", "--count", "1", "--out", str(out)]) == 2
        assert capsys.readouterr().err.count("it holds edited layouts; use another folder") == 2
        assert (out / "labels/000000.png").read_bytes() == before
        assert sorted(path.name for path in out.iterdir()) == ["labels", "layouts.jsonl"]

    def test_two_writers_are_one_too_many(self, fakes, layout, tmp_path, capsys):
        out = tmp_path / "out"
        out.mkdir()
        with (out / "layouts.jsonl").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert edit(out, layout, "--target", "car=0.5") == 1
        assert "another process is writing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["{layout}"], "--target and --delta: 'neither'"),
        (["{layout}", "--target", "car=0.1", "--delta", "car=0.1"], "'both'"),
        (["{layout}", "--target", "car=1.5"], "--target"),
        (["{layout}", "--delta", "car=-1.5"], "from -1 to 1"),
        (["{layout}", "--add", "car"], "--delta"),
        (["{layout}", "--target", "car=0.1", "--box", "1,2,3"], "LEFT,TOP,RIGHT,BOTTOM"),
        (["{layout}", "--target", "car=0.1", "--box", "5,2,5,4"], "LEFT < RIGHT"),
        (["{layout}", "--target", "car=0.1", "--box", "0,0,-4,4"], "--box"),
        (["{layout}", "--target", "car=0.1", "--box", "0,0,4,4", "--mask", "{layout}"], "--mask"),
        (["--target", "car=0.1"], "SOURCE and --labels: 'neither'"),
        (["{layout}", "--labels", "{layout}", "--target", "car=0.1"], "SOURCE and --labels: 'both'"),
        (["{folder}", "--image", "{layout}", "--target", "car=0.1"], "--image"),
        (["{folder}", "--pair", "7", "--target", "car=0.1"], "--pair: '7'"),
        (["{empty}", "--target", "car=0.1"], "--pair"),
        (["{folder}", "--target", "car=0.1", "--address", "h:1", "--engine", "e"], "--engine"),
        (["{folder}", "--target", "car=0.1", "--image", "{missing}"], "missing.png"),
    ],
)
def test_commands_that_make_no_sense_say_so(fakes, folder, layout, tmp_path, capsys, options, words):
    (tmp_path / "empty").mkdir()
    places = {"layout": layout, "folder": folder, "empty": tmp_path / "empty", "missing": tmp_path / "missing.png"}
    calls = len(fakes.requests)
    assert edit(tmp_path / "out", *(option.format(**places) for option in options)) == 2
    assert words in capsys.readouterr().err
    assert len(fakes.requests) == calls


def test_what_the_services_refuse_is_named(fakes, layout, photo, tmp_path, capsys):
    assert edit(tmp_path / "a", layout, "--image", photo, "--delta", "car=-0.9") == 2
    assert "sources[0].edit.deltas[car]" in capsys.readouterr().err
    assert edit(tmp_path / "b", layout, "--image", photo, "--target", "car=0.1", "--bundle", "other") == 2
    assert "no bundle other" in capsys.readouterr().err
