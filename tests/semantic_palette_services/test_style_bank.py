"""Looks that are borrowed from training scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semantic_palette.errors import BundleError
from semantic_palette_services.runtime.style_bank import StyleBank

STYLES = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2) + 1
PRESENT = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]], dtype=bool)


def lenders(seed: int, index: int) -> list[int | None]:
    """Which scene lent each class its style; None for a style of zeros."""
    styles = StyleBank(STYLES, PRESENT).borrow(seed, index)
    found: list[int | None] = []
    for k in range(3):
        scenes = [scene for scene in range(4) if (STYLES[scene, k] == styles[k]).all()]
        found.append(scenes[0] if scenes else None)
        assert scenes or not styles[k].any()
    return found


def test_a_scene_lends_what_it_shows_and_the_next_ones_the_rest() -> None:
    allowed = {(0, 1, None), (1, 1, None), (3, 2, None), (3, 3, None)}  # from scenes 0, 1, 2 and 3 on
    assert {tuple(lenders(0, index)) for index in range(64)} == allowed


def test_the_look_depends_on_seed_and_index_alone() -> None:
    looks = [lenders(seed, index) for seed in range(4) for index in range(8)]
    assert looks == [lenders(seed, index) for seed in range(4) for index in range(8)]
    assert len({tuple(look) for look in looks[:8]}) > 1
    assert looks[:8] != looks[8:16]


def test_every_scene_is_as_likely() -> None:
    counts = np.zeros(4)
    bank = StyleBank(np.arange(4, dtype=np.float32).reshape(4, 1, 1), np.ones((4, 1), bool))
    for index in range(4000):
        counts[int(bank.borrow(1, index)[0, 0])] += 1
    assert np.abs(counts / 4000 - 0.25).max() < 0.03


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"styles": STYLES}, "present"),
        ({"styles": STYLES.astype(np.float64), "present": PRESENT}, "styles is float64"),
        ({"styles": STYLES[:, :2], "present": PRESENT}, r"\(4, 2, 2\); float32 \('M', 3, 2\) is wanted"),
        ({"styles": STYLES[:0], "present": PRESENT[:0]}, r"styles is float32 \(0, 3, 2\)"),
        ({"styles": STYLES, "present": PRESENT[:3]}, r"present is bool \(3, 3\); bool \(4, 3\) is wanted"),
        ({"styles": STYLES, "present": PRESENT.astype(np.uint8)}, "present is uint8"),
    ],
)
def test_banks_that_cannot_be_used_are_bundle_errors(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    path = tmp_path / "styles.npz"
    np.savez(path, **arrays)
    with pytest.raises(BundleError, match=words):
        StyleBank.load(path, num_classes=3, style_size=2)


def test_a_bank_is_read_as_it_was_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "styles.npz", styles=STYLES, present=PRESENT)
    bank = StyleBank.load(tmp_path / "styles.npz", num_classes=3, style_size=2)
    np.testing.assert_array_equal(bank.borrow(3, 4), StyleBank(STYLES, PRESENT).borrow(3, 4))
    (tmp_path / "styles.npz").write_bytes(b"PK nonsense")
    with pytest.raises(BundleError, match="cannot be read as a style bank"):
        StyleBank.load(tmp_path / "styles.npz", num_classes=3, style_size=2)
