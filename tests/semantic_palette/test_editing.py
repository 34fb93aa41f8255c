"""From the shares that are asked for in a region to the palette of an editor, against formulas written out here."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from semantic_palette.editing import (
    Box,
    Budget,
    RegionShares,
    ShareEdit,
    check_mask,
    editor_palette,
    frame_palette,
    keep_outside,
    plan_edit,
    region_palette,
)
from semantic_palette.errors import BundleError, InvalidInputError, UnknownClassError
from semantic_palette.label_space import LabelClass, LabelSpace

SPACE = LabelSpace("four", [LabelClass(i, name, (i, i, i)) for i, name in enumerate(("sky", "road", "car", "tree"))])
PRESENT = np.array([0.5, 0.3, 0.2, 0.0])

PALETTES = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any).map(lambda n: np.array(n) / sum(n))


def requested(present=PRESENT, **edit):
    return ShareEdit(**edit).requested(SPACE, present)


class TestTargets:
    def test_named_classes_get_their_shares_and_the_others_share_the_rest_in_proportion(self):
        # 0.6 is left for sky and road, which have 5 : 3.
        expected = [0.6 * 5 / 8, 0.6 * 3 / 8, 0.4, 0.0]
        np.testing.assert_allclose(requested(target={"car": 0.4}), expected, rtol=1e-12)

    def test_a_class_that_is_not_there_yet_can_be_asked_for(self):
        np.testing.assert_allclose(requested(target={"tree": 0.1}), [0.45, 0.27, 0.18, 0.1], rtol=1e-12)

    def test_a_complete_palette_leaves_no_other_class(self):
        np.testing.assert_array_equal(requested(target={"sky": 0.25, "tree": 0.75}), [0.25, 0.0, 0.0, 0.75])
        np.testing.assert_allclose(
            requested(target={"car": 0.3334, "tree": 0.6661}), [0, 0, 0.33357, 0.66643], atol=1e-4
        )

    def test_a_class_can_be_banned(self):
        np.testing.assert_allclose(requested(target={"car": 0.0}), [0.625, 0.375, 0.0, 0.0], rtol=1e-12)

    def test_where_no_other_class_is_there_the_shares_have_to_sum_to_one(self):
        present = np.array([0.0, 0.0, 1.0, 0.0])
        with pytest.raises(
            InvalidInputError, match=r"edit\.target: 'shares that sum to 0\.4' .*sum to 1 within 0\.001"
        ):
            requested(present, target={"car": 0.4})
        np.testing.assert_array_equal(requested(present, target={"car": 0.4, "sky": 0.6}), [0.6, 0, 0.4, 0])

    @given(present=PALETTES, share=st.floats(0.0, 0.99))
    def test_the_request_is_a_palette_that_keeps_the_proportions_of_the_others(self, present, share):
        if present[2] == 1.0:
            return
        palette = requested(present, target={"car": share})
        assert palette[2] == share
        assert palette.sum() == pytest.approx(1.0, abs=1e-12)
        others = [0, 1, 3]
        np.testing.assert_allclose(palette[others] * present[others].sum(), (1 - share) * present[others], atol=1e-12)


class TestDeltas:
    def test_the_others_pay_in_proportion(self):
        # Sky and road, 5 : 3, pay 0.1 together.
        expected = [0.5 - 0.1 * 5 / 8, 0.3 - 0.1 * 3 / 8, 0.3, 0.0]
        np.testing.assert_allclose(requested(deltas={"car": 0.1}), expected, rtol=1e-12)

    def test_the_others_receive_in_proportion(self):
        expected = [0.5 + 0.2 * 5 / 8, 0.3 + 0.2 * 3 / 8, 0.0, 0.0]
        np.testing.assert_allclose(requested(deltas={"car": -0.2}), expected, rtol=1e-12)

    def test_changes_that_balance_leave_the_others_as_they_are(self):
        np.testing.assert_allclose(requested(deltas={"sky": -0.1, "tree": 0.1}), [0.4, 0.3, 0.2, 0.1], rtol=1e-12)

    def test_no_change_is_the_palette_there_is(self):
        np.testing.assert_allclose(requested(deltas={"car": 0.0}), PRESENT, rtol=1e-12)

    def test_a_decimal_fraction_that_empties_a_class_is_not_refused_for_its_rounding(self):
        present = np.array([0.7, 0.1 + 0.2, 0.0, 0.0])
        assert requested(present, deltas={"road": -0.3})[1] == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("delta", [-0.21, 0.81, math.nan, math.inf])
    def test_a_result_that_is_no_share_names_class_value_and_range(self, delta):
        with pytest.raises(
            InvalidInputError, match=r"has 0\.2 of the region, so a change from -0\.2 to 0\.8"
        ) as caught:
            requested(deltas={"car": delta})
        assert caught.value.field == "edit.deltas[car]"

    def test_changes_that_take_more_than_the_region_are_refused(self):
        with pytest.raises(InvalidInputError, match=r"1\.1 together.*at most 1"):
            requested(deltas={"car": 0.4, "sky": 0.0})

    def test_somebody_has_to_pay(self):
        present = np.array([0.0, 0.0, 0.6, 0.4])
        with pytest.raises(InvalidInputError, match="no other class is in the region"):
            requested(present, deltas={"car": 0.1, "tree": -0.3})
        np.testing.assert_allclose(requested(present, deltas={"car": 0.1, "tree": -0.1}), [0, 0, 0.7, 0.3])

    @given(present=PALETTES, change=st.floats(-1.0, 1.0))
    def test_the_request_is_a_palette(self, present, change):
        try:
            palette = requested(present, deltas={"car": change})
        except InvalidInputError:
            assert not 0.0 <= present[2] + change <= 1.0 or present[2] == 1.0
        else:
            assert palette.min() >= 0.0
            assert palette.sum() == pytest.approx(1.0, abs=1e-12)
            assert palette[2] == pytest.approx(present[2] + change, abs=1e-8)


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({}, "edit"),
        ({"target": {"car": 0.1}, "deltas": {"car": 0.1}}, "edit"),
        ({"target": {}}, "edit.target"),
        ({"deltas": {}}, "edit.deltas"),
        ({"target": {"car": 1.2}}, "edit.target[car]"),
        ({"target": {"car": math.nan}}, "edit.target[car]"),
        ({"target": {"car": 0.7, "sky": 0.6}}, "edit.target"),
        ({"target": {"car": 0.1, "Car": 0.1}}, "edit.target[Car]"),
        ({"deltas": {"car": 0.1, "Car": 0.1}}, "edit.deltas[Car]"),
        ({"deltas": {"car": True}}, "edit.deltas[car]"),
    ],
)
def test_edits_that_make_no_sense_name_their_field(edit, field):
    with pytest.raises(InvalidInputError) as caught:
        requested(**edit)
    assert caught.value.field == field


@pytest.mark.parametrize("kind", ["target", "deltas"])
def test_unknown_classes_are_named(kind):
    with pytest.raises(UnknownClassError, match=r"lava.*sky, road, car, tree"):
        requested(**{kind: {"lava": 0.1}})


class TestEditorPalette:
    def test_the_budget_of_a_region_is_its_request_times_its_area(self):
        palette = editor_palette(Budget.REGION, np.array([0.1, 0.2, 0.7, 0.0]), PRESENT, area=0.25)
        np.testing.assert_allclose(palette, [0.025, 0.05, 0.175, 0.0, 0.75], rtol=1e-6)
        assert palette.dtype == np.float32

    def test_additions_are_what_is_missing_in_shares_of_the_frame(self):
        palette = editor_palette(Budget.ADDITIONS, np.array([0.3, 0.3, 0.25, 0.15]), PRESENT, area=0.5)
        np.testing.assert_allclose(palette, [0.0, 0.0, 0.025, 0.075, 0.9], rtol=1e-6)

    def test_rounding_is_no_addition(self):
        requested = PRESENT + np.array([1e-17, 1e-12, -1e-12, 0.0])
        np.testing.assert_array_equal(editor_palette(Budget.ADDITIONS, requested, PRESENT, 1.0), [0, 0, 0, 0, 1])

    @given(requested=PALETTES, present=PALETTES, area=st.floats(0.001, 1.0), budget=st.sampled_from(Budget))
    def test_it_is_a_palette(self, requested, present, area, budget):
        palette = editor_palette(budget, requested, present, area)
        assert palette.shape == (5,)
        assert palette.min() >= 0
        assert palette.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)

    def test_a_manifest_names_the_budget(self):
        assert Budget.of({"budget": "additions"}) is Budget.ADDITIONS
        assert Budget.of({}) is Budget.REGION
        with pytest.raises(BundleError, match="budget: 'frame' is unknown; region, additions are"):
            Budget.of({"budget": "frame"})


class TestRegions:
    def test_a_box_is_left_top_inclusive_and_right_bottom_exclusive(self):
        mask = Box(1, 0, 3, 2).mask(3, 4)
        np.testing.assert_array_equal(mask, [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])

    @pytest.mark.parametrize(
        ("box", "field"),
        [
            (Box(0, 0, 5, 3), "region.box.right"),
            (Box(2, 0, 2, 3), "region.box.right"),
            (Box(-1, 0, 2, 3), "region.box.right"),
            (Box(0, 0, 4, 4), "region.box.bottom"),
            (Box(0, 3, 4, 2), "region.box.bottom"),
        ],
    )
    def test_boxes_beyond_the_frame_name_the_side(self, box, field):
        with pytest.raises(InvalidInputError, match="is allowed") as caught:
            box.mask(3, 4)
        assert caught.value.field == field

    def test_any_value_but_zero_may_change(self):
        np.testing.assert_array_equal(
            check_mask(np.array([[0, 1], [255, 0]], np.uint8)), [[False, True], [True, False]]
        )
        with pytest.raises(InvalidInputError, match=r"region\.mask: 'no pixel"):
            check_mask(np.zeros((2, 2), np.uint8))

    def test_shares_are_those_of_the_region(self):
        labels = np.array([[0, 0, 1, 2], [3, 0, 1, 1]], np.uint8)
        mask = Box(2, 0, 4, 2).mask(2, 4)
        np.testing.assert_array_equal(region_palette(labels, mask, 4), [0, 0.75, 0.25, 0])
        plan = plan_edit(SPACE, labels, mask, ShareEdit(target={"car": 0.5}), Budget.REGION)
        np.testing.assert_array_equal(plan.requested_K, [0, 0.5, 0.5, 0])
        assert plan.area == 0.5
        np.testing.assert_array_equal(plan.palette_E, np.float32([0, 0.25, 0.25, 0, 0.5]))
        # Outside are three pixels of sky and one of tree; the region's half of the frame is road and car.
        np.testing.assert_allclose(frame_palette(labels, mask, plan.requested_K), [0.375, 0.25, 0.25, 0.125])

    def test_what_an_edit_achieved_is_counted_in_the_region(self):
        labels, mask = np.zeros((2, 2), np.uint8), np.array([[True, True], [False, False]])
        plan = plan_edit(SPACE, labels, mask, ShareEdit(target={"car": 0.5}), Budget.REGION)
        region = RegionShares.of(plan, np.array([[2, 1], [3, 3]], np.uint8), mask)
        np.testing.assert_array_equal(region.achieved, [0.0, 0.5, 0.5, 0.0])
        smoothed = np.array([1e-6, 0.5 + 1e-6, 0.5 + 1e-6, 1e-6]) / (1 + 4e-6)
        expected = 0.5 * math.log(0.5 / smoothed[0]) + 0.5 * math.log(0.5 / smoothed[2])
        assert region.kl == pytest.approx(expected, rel=1e-12)

    @given(
        labels=arrays.arrays(np.uint8, (3, 5)),
        edited=arrays.arrays(np.uint8, (3, 5)),
        mask=arrays.arrays(np.bool_, (3, 5)),
    )
    def test_nothing_changes_outside(self, labels, edited, mask):
        kept = keep_outside(edited, labels, mask)
        np.testing.assert_array_equal(kept[~mask], labels[~mask])
        np.testing.assert_array_equal(kept[mask], edited[mask])
        assert kept.dtype == np.uint8
