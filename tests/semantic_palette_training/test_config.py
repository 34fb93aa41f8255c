"""Strict configs: what YAML may say, and how an error names the key."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain


@dataclass(kw_only=True, slots=True)
class Inner:
    width: int
    norm: Literal["spade", "class_adaptive"] = "spade"


@dataclass(kw_only=True, slots=True)
class Outer:
    inner: Inner
    rate: float = 0.5
    name: str | None = None
    widths: tuple[int, ...] = ()
    size: tuple[int, int] = (4, 8)
    phases: tuple[Inner, ...] = field(default=())


def test_plain_values_round_trip() -> None:
    values = {
        "inner": {"width": 3, "norm": "class_adaptive"}, "rate": 1, "name": None, "widths": [1, 2], "size": [2, 4],
        "phases": [{"width": 1}],
    }  # fmt: skip
    config = from_plain(Outer, values)
    assert config.inner == Inner(width=3, norm="class_adaptive")
    assert config.rate == 1.0
    assert config.phases == (Inner(width=1),)
    assert from_plain(Outer, to_plain(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"inner.*required"),
        ({"inner": {"width": 1, "heigth": 2}}, r"inner\.heigth.*known keys are width, norm"),
        ({"inner": {"width": "1"}}, r"inner\.width.*type int"),
        ({"inner": {"width": True}}, r"inner\.width.*type int"),
        ({"inner": {"width": 1, "norm": "batch"}}, r"inner\.norm.*spade, class_adaptive"),
        ({"inner": {"width": 1}, "widths": 3}, r"widths.*list"),
        ({"inner": {"width": 1}, "size": [1, 2, 3]}, r"size.*list of 2"),
        ({"inner": {"width": 1}, "phases": [{"width": 1}, {"width": None}]}, r"phases\[1\]\.width"),
        ({"inner": 3}, r"inner.*mapping"),
    ],
)
def test_errors_name_the_key_by_its_path(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        from_plain(Outer, values)
