"""docs/settings.md is written from the settings, and has all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from semantic_palette_services.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    program = ROOT / "scripts" / "settings_page.py"
    written = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=True).stdout
    assert written == PAGE, "docs/settings.md is stale: run make settings"


def test_every_setting_is_on_the_page_with_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(ServerSettings.model_fields)
    assert [meaning for _, meaning in rows if not re.fullmatch(r"[A-Z`].{4,}\.", meaning)] == []
