"""Constraints by class name become bounds, or errors that say why not."""

import numpy as np
import pytest

from semantic_palette.constraints import Constraints
from semantic_palette.errors import InfeasibleConstraintsError, InvalidInputError, UnknownClassError
from semantic_palette.label_space import CAMVID


def test_constraints_become_bounds_by_class_id() -> None:
    constraints = Constraints(fixed={"Road": 0.3}, minimum={"car": 0.1}, maximum={"car": 0.2, "sky": 0.5})
    bounds = constraints.bounds(CAMVID)
    assert np.flatnonzero(bounds.fixed_mask).tolist() == [3]
    assert (bounds.lower[3], bounds.upper[3]) == (0.3, 0.3)
    assert (bounds.lower[8], bounds.upper[8]) == (0.1, 0.2)
    assert (bounds.lower[0], bounds.upper[0]) == (0.0, 0.5)
    assert not constraints.is_empty


def test_no_constraints_bound_nothing() -> None:
    bounds = Constraints().bounds(CAMVID)
    assert Constraints().is_empty
    assert (bounds.lower == 0.0).all()
    assert (bounds.upper == 1.0).all()
    assert not bounds.fixed_mask.any()


def test_all_classes_may_be_fixed_to_shares_that_sum_to_one_but_for_rounding() -> None:
    assert Constraints(fixed=dict.fromkeys(CAMVID.names, 1 / 12)).bounds(CAMVID).fixed_mask.all()
    ten = Constraints(minimum=dict.fromkeys(CAMVID.names[:10], 0.1))
    assert ten.bounds(CAMVID).lower.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("constraints", "field", "words"),
    [
        (Constraints(minimum={"road": 0.7, "sky": 0.4}), "constraints", ["minima that sum to 1.1", "not 1.1"]),
        (
            Constraints(fixed={"road": 0.7}, minimum={"sky": 0.4}),
            "constraints",
            ["fixed shares that sum to 0.7", "0.4"],
        ),
        (Constraints(fixed=dict.fromkeys(CAMVID.names, 0.05)), "constraints", ["sum to 0.6", "at least 1"]),
        (Constraints(maximum=dict.fromkeys(CAMVID.names, 0.05)), "constraints", ["maxima that sum to 0.6"]),
        (Constraints(fixed={"car": 0.1}, maximum={"CAR": 0.2}), "constraints.fixed[car]", ["either fixed or bounded"]),
        (Constraints(minimum={"car": 0.3}, maximum={"car": 0.2}), "constraints.minimum[car]", ["maximum", "0.2"]),
    ],
)
def test_infeasible_constraints_say_the_sums(constraints: Constraints, field: str, words: list[str]) -> None:
    with pytest.raises(InfeasibleConstraintsError) as caught:
        constraints.bounds(CAMVID)
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in words)


def test_bad_shares_and_names_are_errors_that_name_the_field() -> None:
    with pytest.raises(InvalidInputError, match=r"^constraints\.maximum\[car\]: 1\.5 is not allowed"):
        Constraints(maximum={"car": 1.5}).bounds(CAMVID)
    with pytest.raises(InvalidInputError, match=r"constraints\.minimum\[car\]"):
        Constraints(minimum={"car": float("nan")}).bounds(CAMVID)
    with pytest.raises(UnknownClassError, match=r"^constraints\.fixed: 'dragon'"):
        Constraints(fixed={"dragon": 0.1}).bounds(CAMVID)
