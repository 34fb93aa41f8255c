"""The threat model names a test for every threat, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
_NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")


def threats() -> list[list[str]]:
    """The rows of the table of threats: threat, what is done, tests."""
    table = PAGE.read_text().split("| threat |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


@cache
def names_in(file: str) -> set[str]:
    """Names of the tests in a file, wherever it is."""
    (path,) = (ROOT / "tests").rglob(file)
    tree = ast.parse(path.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_threat_has_a_test() -> None:
    assert len(threats()) >= 15
    for threat, done, tests in threats():
        assert done, threat
        assert _NAMED.search(tests), threat


def test_every_test_that_is_named_is_there() -> None:
    named = _NAMED.findall(PAGE.read_text())
    assert len(named) >= 30
    for file, test in named:
        found = names_in(file)
        assert found, file
        assert not test or test in found, f"{file}::{test}"


def test_every_setting_of_the_page_is_one() -> None:
    from semantic_palette_services.server.settings import ServerSettings

    security = PAGE.read_text().split("## Threat model", 1)[0]
    settings = set(re.findall(r"`((?:tls|auth|allow|admin|stage|max)_[a-z_]+)`", security))
    settings -= {name for name in settings if name.endswith("_timestamp_seconds")}  # a metric
    assert settings <= set(ServerSettings.model_fields)
    assert {"tls_certificate", "auth_tokens", "admin_client_ca", "stage_ca", "max_message_bytes"} <= settings
