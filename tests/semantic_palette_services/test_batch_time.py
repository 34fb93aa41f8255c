"""The online fit of batch seconds = a * n + b."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_palette_services.runtime import batch_time
from semantic_palette_services.runtime.batch_time import BatchTimeModel


def test_a_straight_line_is_found_and_extrapolated() -> None:
    model = BatchTimeModel()
    for size in (1, 4, 2, 8, 3):
        model.observe(size, 0.05 + 0.002 * size)
    assert model.predict(32) == pytest.approx(0.05 + 0.064)


def test_the_line_is_told_as_seconds_an_item_and_seconds_beside() -> None:
    model = BatchTimeModel({size: 0.05 + 0.002 * size for size in (1, 4, 8)})
    assert model.line() == pytest.approx((0.002, 0.05))
    assert BatchTimeModel({2: 0.1}).line() == pytest.approx((0.0, 0.1))
    assert BatchTimeModel().line() == (0.0, 0.0)


def test_nothing_is_expected_before_anything_was_measured() -> None:
    assert BatchTimeModel().predict(8) == 0.0


def test_measurements_made_before_serving_count() -> None:
    assert BatchTimeModel({1: 0.1, 8: 0.8}).predict(4) == pytest.approx(0.4)


def test_one_size_seen_is_no_reason_to_refuse_larger_batches() -> None:
    assert BatchTimeModel({2: 0.1}).predict(8) == pytest.approx(0.1)


@pytest.mark.parametrize("seconds", [lambda n: 1.0 - 0.05 * n, lambda n: 0.1 * n - 0.05])
def test_noise_never_makes_a_larger_batch_look_cheaper_or_a_small_one_free(seconds: object) -> None:
    assert callable(seconds)
    model = BatchTimeModel({size: seconds(size) for size in (1, 2, 4, 8)})
    predictions = [model.predict(size) for size in range(1, 9)]
    assert predictions == sorted(predictions)
    assert predictions[0] > 0.0


def test_the_fit_follows_a_machine_that_becomes_slower() -> None:
    model, sizes = BatchTimeModel(), np.random.default_rng(0).integers(1, 9, 600)
    for index, size in enumerate(sizes):
        model.observe(int(size), (0.01 if index < 300 else 0.03) * float(size))
    assert model.predict(8) == pytest.approx(0.24, rel=0.05)


def test_after_a_pause_a_fast_batch_tells_that_the_machine_is_less_busy_whatever_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = BatchTimeModel({1: 0.01, 8: 0.08})
    for size in (1, 8) * 25:
        model.observe(size, 1.0 * size)
    assert not model.outdated
    model.observe(1, 0.01)
    assert model.predict(1) > 0.8
    monkeypatch.setattr(batch_time, "STALE_SECONDS", -1.0)
    assert model.outdated
    for _ in range(4):
        model.observe(1, 0.01)
    assert model.predict(1) < 0.1
    assert model.predict(8) == pytest.approx(8 * model.predict(1), rel=0.3)
    before = model.predict(1)
    model.observe(1, 100.0 * before)  # as the first batch after a pause may be
    assert model.predict(1) < 10.0 * before


def test_a_batch_may_grow_as_far_as_its_time_hardly_does() -> None:
    steep = BatchTimeModel({1: 0.01, 8: 0.08})
    flat = BatchTimeModel({1: 0.1, 8: 0.107})
    assert steep.affordable(2, 8, 0.1) == 2
    assert flat.affordable(2, 8, 0.1) == 8
    assert flat.affordable(2, 4, 0.1) == 4
    assert BatchTimeModel({1: 0.10, 8: 0.17}).affordable(1, 8, 0.1) == 2
