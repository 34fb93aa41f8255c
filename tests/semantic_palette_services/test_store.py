"""The model store: what it finds, what it refuses, and what is active."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tiny_bundle import corrupt, write_tiny_bundle

from semantic_palette.errors import BundleError, BundleNotFoundError, InvalidInputError
from semantic_palette.manifest import manifest_digest
from semantic_palette_services.runtime.store import BundleReference, ModelStore


@pytest.fixture
def store(store_root: Path) -> ModelStore:
    """Two versions of "tiny", the first of which is active, and one of "other", which has none active."""
    write_tiny_bundle(store_root, version="1")
    write_tiny_bundle(store_root, version="2", seed=1, activate=False)
    write_tiny_bundle(store_root, name="other", activate=False)
    return ModelStore(store_root)


def test_names_and_versions(store: ModelStore) -> None:
    for version in ("10", "9"):
        (store.root / "tiny" / version).mkdir()
        (store.root / "tiny" / version / "manifest.json").write_text("{}")
    (store.root / "not-a-bundle").mkdir()
    assert store.names() == ["other", "tiny"]
    assert store.versions("tiny") == ["1", "2", "9", "10"]


def test_hidden_entries_are_neither_bundles_nor_versions(store: ModelStore) -> None:
    for folder in (store.root / ".copying" / "1", store.root / "tiny" / ".3-unfinished"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert store.names() == ["other", "tiny"]
    assert store.versions("tiny") == ["1", "2"]
    assert store.versions("nobody") == []


def test_the_active_version_is_opened(store: ModelStore) -> None:
    files = store.open("tiny")
    assert (files.manifest.name, files.manifest.version) == ("tiny", "1")
    assert files.path == store.root / "tiny" / "1"
    assert files.digest == manifest_digest(files.path / "manifest.json")


def test_the_only_bundle_needs_no_name(tiny_root: Path) -> None:
    assert ModelStore(tiny_root).open().manifest.name == "tiny"


def test_a_store_of_several_active_bundles_wants_a_name(store: ModelStore) -> None:
    store.activate("other", store.versions("other")[0])
    with pytest.raises(BundleNotFoundError, match=r"name a bundle \(--bundle NAME\); the store has other, tiny"):
        store.open()


def test_a_bundle_that_is_not_active_does_not_change_the_default(store: ModelStore) -> None:
    assert store.active_version("other") is None
    assert store.open().manifest.name == "tiny"


def test_what_is_not_there_is_said_with_what_is(store: ModelStore) -> None:
    with pytest.raises(BundleNotFoundError, match=r"tiny/3: .* has 1, 2"):
        store.open("tiny", "3")
    with pytest.raises(BundleNotFoundError, match="absent: not in"):
        store.open("absent")
    with pytest.raises(BundleNotFoundError, match="other: no version is active; activate one of 1"):
        store.open("other")
    with pytest.raises(BundleNotFoundError, match="no such folder"):
        ModelStore(store.root / "nowhere")


@pytest.mark.parametrize("name", ["../tiny", "tiny/1", "", ".", "..", ".hidden", "a\nb"])
def test_names_that_would_leave_the_store_are_refused(store: ModelStore, name: str) -> None:
    with pytest.raises(InvalidInputError, match="bundle"):
        store.open(name)
    with pytest.raises(InvalidInputError, match="version"):
        store.open("tiny", name)


@pytest.mark.parametrize(
    "file", ["layout.onnx", "layout_scores.onnx", "layout.weights", "image.onnx", "palette.npz", "golden.npz"]
)
def test_a_file_that_changed_is_never_handed_out(store: ModelStore, file: str) -> None:
    corrupt(store.root / "tiny" / "1" / file)
    with pytest.raises(BundleError, match=f"{file}: sha256 is .*, but the manifest says"):
        store.open("tiny")


def test_a_missing_file_is_named(store: ModelStore) -> None:
    (store.root / "tiny" / "1" / "layout.weights").unlink()
    with pytest.raises(BundleError, match=r"layout\.weights: cannot be read"):
        store.open("tiny")


def test_a_manifest_in_the_wrong_folder_is_refused(store: ModelStore) -> None:
    (store.root / "tiny" / "2").rename(store.root / "tiny" / "5")
    with pytest.raises(BundleError, match="the manifest says that this is tiny/2"):
        store.open("tiny", "5")


def test_another_digest_than_wanted_is_refused(store: ModelStore) -> None:
    digest = store.open("tiny").digest
    assert store.open("tiny", "1", digest=digest).digest == digest
    with pytest.raises(BundleError, match=f"sha256 of the manifest is {digest}, wanted {'0' * 64}"):
        store.open("tiny", "1", digest="0" * 64)


def test_activating_and_rolling_back(store: ModelStore) -> None:
    store.activate("tiny", "2")
    assert store.open("tiny").manifest.version == "2"
    assert store.previous_version("tiny") == "1"
    assert store.rollback("tiny") == "1"
    assert store.active_version("tiny") == "1"
    assert store.rollback("tiny") == "2"


def test_activating_twice_keeps_the_version_before(store: ModelStore) -> None:
    store.activate("tiny", "2")
    store.activate("tiny", "2")
    assert store.rollback("tiny") == "1"


def test_a_first_activation_has_nothing_to_go_back_to(store: ModelStore) -> None:
    store.activate("other", "1")
    assert store.open("other").manifest.version == "1"
    with pytest.raises(BundleNotFoundError, match="nothing to go back to"):
        store.rollback("other")


@pytest.mark.parametrize("before", [None, "2"])
def test_a_version_that_cannot_be_noted_as_active_leaves_both_pointers(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is not None:
        store.activate("tiny", "2")
        store.activate("tiny", "1")
    replace = os.replace

    def refuse(source: str, target: Path) -> None:
        if target.name == "active":
            raise OSError("disk full")
        replace(source, target)

    write_tiny_bundle(store.root, version="3", activate=False)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        store.activate("tiny", "3")
    assert (store.active_version("tiny"), store.previous_version("tiny")) == ("1", before)


def test_after_a_crash_between_the_pointers_there_is_nothing_to_go_back_to(store: ModelStore) -> None:
    (store.root / "tiny" / "previous").write_text("1\n")
    with pytest.raises(BundleNotFoundError, match="nothing to go back to"):
        store.rollback("tiny")
    store.activate("tiny", "2")
    assert store.rollback("tiny") == "1"


def test_a_corrupt_version_is_not_activated(store: ModelStore) -> None:
    corrupt(store.root / "tiny" / "2" / "image.onnx")
    with pytest.raises(BundleError):
        store.activate("tiny", "2")
    assert store.active_version("tiny") == "1"
    assert store.previous_version("tiny") is None


def test_activating_leaves_no_litter_and_readable_pointers(store: ModelStore) -> None:
    store.activate("tiny", "2")
    assert sorted(path.name for path in (store.root / "tiny").iterdir()) == ["1", "2", "active", "previous"]
    assert (store.root / "tiny" / "active").stat().st_mode & 0o777 == 0o644


def test_a_pointer_that_leaves_the_store_is_refused(store: ModelStore) -> None:
    (store.root / "tiny" / "active").write_text("../../etc\n")
    with pytest.raises(InvalidInputError, match="tiny/active"):
        store.open("tiny")


def test_a_manifest_that_points_outside_is_refused(store: ModelStore) -> None:
    path = store.root / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["golden"]["file"] = "../../../etc/passwd"
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"golden\.file"):
        store.open("tiny")


def test_references() -> None:
    digest = "a" * 64
    assert BundleReference.parse(None) == BundleReference()
    assert BundleReference.parse("camvid") == BundleReference("camvid")
    assert BundleReference.parse("camvid/3") == BundleReference("camvid", "3")
    assert BundleReference.parse(f"camvid/3@{digest}") == BundleReference("camvid", "3", digest)
    assert BundleReference.parse(f"camvid/3@sha256:{digest}") == BundleReference("camvid", "3", digest)
    for text in ("", "a/b/c", "camvid@123", "/1"):
        with pytest.raises(InvalidInputError, match="bundle"):
            BundleReference.parse(text)
