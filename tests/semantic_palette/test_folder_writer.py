"""A folder holds complete pairs only, whatever interrupted its writer, and goes on where it stopped."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_services import DIGEST, SPACE, fake_pair

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import decode_png
from semantic_palette.pair import BundleIdentity, EngineIdentity, PaletteOrigin
from semantic_palette.writers.folder import FolderWriter, PairFolder, PairRecord
from semantic_palette.writers.job import FolderError, Job, StartedJob

JOB = Job(count=4, seed=9, minimum={"car": 0.1})
STARTED = StartedJob(JOB, BundleIdentity("fake", "1", DIGEST), SPACE)


def write(root: Path, *indices: int) -> None:
    with FolderWriter(PairFolder(root), lambda record: None) as writer:
        writer.write([fake_pair(index, seed=9) for index in indices], SPACE)


def reopen(root: Path) -> tuple[int, list[str]]:
    """The next index of a new writer, and the ids it found."""
    found: list[PairRecord] = []
    with FolderWriter(PairFolder(root), found.append) as writer:
        return writer.next_index, [record.id for record in found]


def started_folder(root: Path) -> None:
    write(root, 0)
    STARTED.write(root / "job.json")


def test_a_line_has_the_contracts_keys_and_every_class(tmp_path):
    write(tmp_path, 0, 1)
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    line = json.loads(lines[1])
    assert " ".join(line) == "id seed requested achieved kl label image bundle bundle_digest engine palette_origin"
    assert (line["id"], line["label"], line["image"]) == ("000001", "labels/000001.png", "images/000001.png")
    assert (line["seed"], line["bundle"], line["bundle_digest"], line["engine"]) == (9, "fake", DIGEST, "fake-fp32")
    pair = fake_pair(1, seed=9)
    for key, palette in (("requested", pair.requested), ("achieved", pair.achieved)):
        assert list(line[key]) == list(SPACE.names)
        assert list(line[key].values()) == palette.tolist()
    np.testing.assert_array_equal(decode_png((tmp_path / line["label"]).read_bytes(), 12), pair.labels)
    assert (tmp_path / line["image"]).read_bytes() == pair.image_data


def test_a_line_says_where_its_palette_came_from(tmp_path):
    made = [fake_pair(index) for index in range(2)]
    projected = dataclasses.replace(made[1].provenance, palette_origin=PaletteOrigin.PROJECTED)
    with FolderWriter(PairFolder(tmp_path), lambda record: None) as writer:
        writer.write([made[0], dataclasses.replace(made[1], provenance=projected)], SPACE)
    assert [record.palette_origin for record in PairFolder(tmp_path).records()] == ["sampled", "projected"]


def test_a_folder_from_before_lines_said_so_is_read_and_continued(tmp_path):
    write(tmp_path, 0, 1)
    index = tmp_path / "pairs.jsonl"
    old = [json.loads(line) for line in index.read_text().splitlines()]
    for line in old:
        del line["palette_origin"]
    before = "".join(json.dumps(line) + "\n" for line in old)
    index.write_text(before)
    assert reopen(tmp_path) == (2, ["000000", "000001"])
    write(tmp_path, 2)
    assert index.read_text().startswith(before)
    origins = [record.palette_origin for record in PairFolder(tmp_path).records()]
    assert origins == [None, None, "sampled"]


def test_lines_of_a_later_version_are_refused_rather_than_cut_off(tmp_path):
    write(tmp_path, 0, 1)
    index = tmp_path / "pairs.jsonl"
    later = "".join(json.dumps(json.loads(line) | {"mood": 1}) + "\n" for line in index.read_text().splitlines())
    index.write_text(later)
    with pytest.raises(FolderError, match="pair '000000' has keys of a later version: mood"):
        reopen(tmp_path)
    assert index.read_text() == later


def test_engines_that_differ_are_both_named():
    pair = fake_pair(0)
    image_engine = EngineIdentity("openvino", "2", "bf16", "0")
    mixed = dataclasses.replace(pair, provenance=dataclasses.replace(pair.provenance, image_engine=image_engine))
    assert PairRecord.of(mixed, SPACE).engine == "fake-fp32+openvino-bf16"


def test_files_and_folders_are_on_disk_before_the_lines_that_name_them(tmp_path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    write(tmp_path, 0, 1)
    names = ("labels", "images", "labels/000000.png", "images/000000.png", "labels/000001.png", "images/000001.png")
    assert set(synced[:-1]) == {(tmp_path / name).stat().st_ino for name in names}
    assert synced[-1] == (tmp_path / "pairs.jsonl").stat().st_ino


def test_nothing_temporary_is_left(tmp_path):
    write(tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "labels", "pairs.jsonl"]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_last_line_is_dropped(tmp_path, cut):
    write(tmp_path, 0, 1, 2)
    index = tmp_path / "pairs.jsonl"
    whole = index.read_bytes()
    index.write_bytes(whole[:-cut])
    assert [record.id for record in PairFolder(tmp_path).records()] == ["000000", "000001"]
    assert reopen(tmp_path) == (2, ["000000", "000001"])
    write(tmp_path, 2)
    assert index.read_bytes() == whole


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_pair_whose_file_is_missing_or_empty_is_made_again(tmp_path, damage):
    write(tmp_path, 0, 1, 2)
    damage(tmp_path / "images" / "000001.png")
    assert reopen(tmp_path) == (1, ["000000"])


def test_files_without_a_line_are_no_pair(tmp_path):
    write(tmp_path, 0)
    (tmp_path / "labels" / "000001.png").write_bytes(b"left over")
    assert reopen(tmp_path)[0] == 1
    write(tmp_path, 1)
    assert (tmp_path / "labels" / "000001.png").read_bytes() == fake_pair(1, seed=9).label_data


def test_lines_out_of_order_are_cut(tmp_path):
    write(tmp_path, 0, 2)
    assert reopen(tmp_path) == (1, ["000000"])


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    folder = PairFolder(tmp_path)
    with (
        FolderWriter(folder, lambda record: None),
        pytest.raises(FolderError, match="another process is writing"),
    ):
        FolderWriter(folder, lambda record: None)
    reopen(tmp_path)


def test_a_job_is_read_as_it_was_written(tmp_path):
    started_folder(tmp_path)
    assert StartedJob.read(tmp_path / "job.json") == STARTED
    assert PairFolder(tmp_path).job_to_continue(JOB, None) == STARTED
    for name in ("fake", "fake/1", f"fake@{DIGEST}", f"fake/1@{DIGEST}", f"fake/1@sha256:{DIGEST}"):
        assert PairFolder(tmp_path).job_to_continue(JOB, name) == STARTED
    assert not list(tmp_path.rglob("*partial*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed was 9 and is now 1"),
        ({"minimum": {}}, "minimum was {'car': 0.1} and is now {}"),
        ({"adherence": "exact"}, "adherence was 'natural' and is now 'exact'"),
        ({"palettes": [{"sky": 1.0}]}, "palettes was None"),
    ],
)
def test_another_job_in_the_same_folder_is_refused_and_says_why(tmp_path, change, words):
    started_folder(tmp_path)
    with pytest.raises(InvalidInputError) as caught:
        PairFolder(tmp_path).job_to_continue(dataclasses.replace(JOB, **change), None)
    assert words in str(caught.value)


@pytest.mark.parametrize("count", [1, 5])
def test_another_number_of_the_same_pairs_is_no_other_job(tmp_path, count):
    started_folder(tmp_path)
    assert PairFolder(tmp_path).job_to_continue(dataclasses.replace(JOB, count=count), None) == STARTED


def test_another_bundle_is_another_job(tmp_path):
    started_folder(tmp_path)
    for other in ("camvid", "fake/2"):
        with pytest.raises(InvalidInputError, match=f"bundle was 'fake/1' and is now '{other}'"):
            PairFolder(tmp_path).job_to_continue(JOB, other)
    with pytest.raises(InvalidInputError, match=f"bundle was 'fake/1@{DIGEST}' and is now 'fake@{'0' * 64}'"):
        PairFolder(tmp_path).job_to_continue(JOB, f"fake@{'0' * 64}")


def test_pairs_without_a_job_and_broken_jobs_are_clear_errors(tmp_path):
    write(tmp_path, 0)
    with pytest.raises(FolderError, match=r"no job\.json"):
        PairFolder(tmp_path).started_job()
    job = tmp_path / "job.json"
    for text in ("{", "[]", "{}", '{"schema_version": 2}', json.dumps({"schema_version": 1, "job": {"x": 1}})):
        job.write_text(text)
        with pytest.raises(FolderError):
            PairFolder(tmp_path).started_job()


def test_a_folder_without_pairs_is_new_whatever_was_asked_before(tmp_path):
    write(tmp_path)
    STARTED.write(tmp_path / "job.json")
    assert PairFolder(tmp_path).job_to_continue(dataclasses.replace(JOB, seed=1), None) is None
