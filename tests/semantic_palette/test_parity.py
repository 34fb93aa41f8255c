"""Parity: every measure against a literal computation, and limits that a wrong engine does not pass."""

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.parity import (
    IDENTICAL_PSNR_DB,
    MAX_STYLE_ERROR,
    MIN_EQUAL_PIXELS,
    MIN_EQUAL_PIXELS_LOWER,
    broken,
    measure,
    worst,
)

K, H, W = 4, 20, 50


def layouts(seed: int, batch: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, K - 1, (batch, H, W)).astype(np.uint8)


def palettes(batch: int = 3) -> np.ndarray:
    """The last class is forbidden."""
    shares = np.random.default_rng(5).dirichlet(np.ones(K - 1), batch)
    return np.concatenate([shares, np.zeros((batch, 1))], axis=1).astype(np.float32)


def kl(requested: np.ndarray, achieved: list[float]) -> float:
    smoothed = (np.array(achieved) + 1e-6) / (1.0 + len(achieved) * 1e-6)
    return sum(float(t) * np.log(float(t) / q) for t, q in zip(requested, smoothed, strict=True) if t > 0)


def shares(labels: np.ndarray, classes: int = K) -> list[float]:
    return [float((labels == c).mean()) for c in range(classes)]


def test_labels_are_measured_by_pixels_proportions_and_forbidden_classes():
    expected, palette = layouts(0), palettes()
    output = expected.copy()
    output[0, 0, :6] = K - 1
    metrics = measure("labels", {"palette": palette}, expected, output)
    assert metrics["equal_pixels"] == pytest.approx(np.mean(output == expected))
    assert metrics["forbidden_pixels"] == pytest.approx(6.0)
    before = [kl(t, shares(labels)) for t, labels in zip(palette, expected, strict=True)]
    after = [kl(t, shares(labels)) for t, labels in zip(palette, output, strict=True)]
    assert metrics["kl_change"] == pytest.approx(abs(np.mean(after) - np.mean(before)), rel=1e-6)
    assert broken(metrics, full_precision=False)[-1].startswith("forbidden_pixels is 6")


def test_a_forbidden_class_that_the_network_paints_itself_does_not_count():
    expected, palette = layouts(0), palettes()
    expected[0, 0, :6] = K - 1
    output = expected.copy()
    output[0, 0, 6:8] = K - 1
    assert measure("labels", {"palette": palette}, expected, output)["forbidden_pixels"] == 2.0


def test_scores_are_measured_by_their_argmax_and_where_they_are_allowed():
    rng, palette = np.random.default_rng(0), palettes()
    expected = rng.normal(size=(3, K, H, W)).astype(np.float32)
    expected[:, K - 1] = -1e9
    output = expected.copy()
    output[:, K - 1] = -3e8
    output[1, 0, 0, 0] += 0.25
    metrics = measure("scores", {"palette": palette}, expected, output)
    assert metrics["max_error"] == pytest.approx(0.25, rel=1e-6)
    assert metrics["equal_pixels"] == pytest.approx(np.mean(output.argmax(1) == expected.argmax(1)))
    assert metrics["forbidden_pixels"] == 0.0


def edit(budget: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs of an editor and what it answers: a box where classes 0 and 1 were painted, half each."""
    labels = layouts(1)
    mask = np.zeros_like(labels)
    mask[:, 5:15, 10:30] = 1
    expected = labels.copy()
    expected[:, 5:10, 10:30] = 0
    expected[:, 10:15, 10:30] = 1
    palette = np.zeros((3, K + 1), np.float32)
    if budget == "region":
        palette[:, :2], palette[:, K] = 0.5 * mask[0].mean(), 1.0 - mask[0].mean()
    else:
        for row, before, after in zip(palette, labels, expected, strict=True):
            row[:K] = [np.mean((after == c) & (before != c)) for c in range(K)]
            row[K] = 1.0 - row[:K].sum()
    return {"labels": labels, "mask": mask, "palette": palette}, expected


@pytest.mark.parametrize("budget", ["region", "additions"])
def test_an_edit_is_measured_within_its_mask(budget):
    inputs, expected = edit(budget)
    output = expected.copy()
    output[0, 6, 10:16] = 2
    metrics = measure("edited", inputs, expected, output, {"budget": budget})
    assert metrics["equal_pixels"] == pytest.approx(1.0 - 6 / (3 * 200))
    # Under additions a pixel that was of the class before stays what it was, which is never forbidden.
    kept = np.count_nonzero(inputs["labels"][0, 6, 10:16] == 2) if budget == "additions" else 0
    assert metrics["forbidden_pixels"] == 6.0 - kept
    assert metrics["outside_pixels"] == 0.0
    changes = []
    for edited in (output, expected):
        painted = inputs["mask"] > 0
        if budget == "additions":
            painted = painted & (edited != inputs["labels"])
        achieved = [[np.mean(p & (e == c)) for c in range(K)] for p, e in zip(painted, edited, strict=True)]
        rows = [[*row, 1.0 - sum(row)] for row in achieved]
        changes.append(np.mean([kl(t, row) for t, row in zip(inputs["palette"], rows, strict=True)]))
    assert metrics["kl_change"] == pytest.approx(abs(changes[0] - changes[1]), rel=1e-5, abs=1e-9)


def test_an_engine_that_keeps_one_pixel_paints_no_forbidden_class():
    """A tie between keeping and adding: under additions the class that is kept has no share, yet staying is allowed."""
    inputs, expected = edit("additions")
    kept = np.argwhere((expected != inputs["labels"]) & (inputs["labels"] == 2))[0]
    output = expected.copy()
    output[tuple(kept)] = 2
    assert inputs["palette"][kept[0], 2] == 0.0
    metrics = measure("edited", inputs, expected, output, {"budget": "additions"})
    assert metrics["forbidden_pixels"] == 0.0
    assert metrics["equal_pixels"] == pytest.approx(1.0 - 1 / (3 * 200))
    # A region is painted anew: there the class that was there before is as forbidden as any other.
    inputs, expected = edit("region")
    assert measure("edited", inputs, expected, output, {"budget": "region"})["forbidden_pixels"] == 1.0


def test_a_pixel_changed_outside_the_mask_is_never_accepted():
    inputs, expected = edit("region")
    output = expected.copy()
    output[2, 0, 0] = (output[2, 0, 0] + 1) % 3
    metrics = measure("edited", inputs, expected, output, {"budget": "region"})
    assert metrics["equal_pixels"] == 1.0
    assert metrics["outside_pixels"] == 1.0
    assert broken(metrics, full_precision=False) == ["outside_pixels is 1, below 0.5 is needed"]


def test_an_edit_of_nothing_agrees():
    inputs, _ = edit("region")
    inputs["mask"][:] = 0
    metrics = measure("edited", inputs, inputs["labels"], inputs["labels"].copy(), {"budget": "region"})
    assert metrics["equal_pixels"] == 1.0
    assert metrics["outside_pixels"] == 0.0


def test_images_are_measured_by_the_worst_of_the_batch():
    expected = np.random.default_rng(0).integers(0, 200, (2, H, W, 3)).astype(np.uint8)
    output = expected.copy()
    output[1] += 8
    metrics = measure("image", {}, expected, output)
    assert metrics == {"psnr_db": pytest.approx(20 * np.log10(255 / 8)), "max_error": 8.0}
    assert broken(metrics, full_precision=True) == ["psnr_db is 30.069, at least 35 is needed"]
    assert measure("image", {}, expected, expected)["psnr_db"] == IDENTICAL_PSNR_DB


def test_styles_are_measured_relative_to_the_largest_code():
    expected = np.random.default_rng(0).normal(size=(3, K, 5)).astype(np.float32)
    expected[2] = 0.0
    output = expected.copy()
    output[1, 2, 3] += 0.5
    metrics = measure("styles", {}, expected, output)
    assert metrics["max_error"] == pytest.approx(0.5)
    assert metrics["style_error"] == pytest.approx(0.5 / np.abs(expected[1]).max())
    output[2, 0, 0] = 1e-3
    assert measure("styles", {}, expected, output)["style_error"] == np.inf
    assert broken({"style_error": 1.01 * MAX_STYLE_ERROR}, full_precision=False)
    assert not broken({"style_error": 0.99 * MAX_STYLE_ERROR}, full_precision=True)


def test_precision_decides_how_many_pixels_may_differ():
    between = {"equal_pixels": (MIN_EQUAL_PIXELS + MIN_EQUAL_PIXELS_LOWER) / 2, "kl_change": 0.0}
    assert broken(between, full_precision=True)
    assert not broken(between, full_precision=False)
    assert broken({"equal_pixels": 1.0, "kl_change": float("nan")}, full_precision=False)


def test_the_worst_of_batches_is_the_least_agreement_and_the_greatest_error():
    first = {"equal_pixels": 0.9, "kl_change": 0.1, "psnr_db": 40.0}
    second = {"equal_pixels": 1.0, "kl_change": 0.2, "psnr_db": 30.0}
    assert worst([first, second]) == {"equal_pixels": 0.9, "kl_change": 0.2, "psnr_db": 30.0}


@pytest.mark.parametrize(
    ("name", "output", "words"),
    [
        ("depth", layouts(0), "output_name: 'depth'"),
        ("labels", layouts(0).astype(np.int64), "uint8 .3, 20, 50. is expected"),
        ("labels", layouts(0)[:2], "labels: 'uint8 .2, 20, 50.'"),
        ("labels", layouts(0) + np.uint8(200), "class ids from 0 to 3"),
    ],
)
def test_outputs_that_cannot_be_compared_are_refused(name, output, words):
    with pytest.raises(InvalidInputError, match=words):
        measure(name, {"palette": palettes()}, layouts(0), output)
