"""Logs: one JSON object a line, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from semantic_palette_services.server.logs import JsonFormatter


@pytest.mark.parametrize("text", ["two\nlines", "\r", "\u2028", "\u2029", "\x85", "\x0b\x0c\x1c", "\x1b[2K", "straße"])
def test_no_text_breaks_a_line_or_moves_a_cursor(text: str) -> None:
    record = logging.LogRecord("name", logging.INFO, __file__, 1, "said %s", (text,), None)
    record.fields = {"peer": text}
    line = JsonFormatter().format(record)
    assert line.splitlines() == [line]
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["message"], entry["peer"]) == (f"said {text}", text)
