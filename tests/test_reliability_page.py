"""Every test that docs/reliability.md names is there, and every promise names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
PROMISES = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| you may rely on")]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(async )?def {test}\(", source, re.MULTILINE)


def test_every_promise_names_a_test() -> None:
    assert len(PROMISES) > 30
    for promise in PROMISES:
        cells = [cell.strip() for cell in promise.strip("|").split("|")]
        assert len(cells) == 3, promise
        assert re.fullmatch(r"`[\w/]+\.py::\w+`|the same", cells[-1]), promise
