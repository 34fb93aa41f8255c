"""Prints docs/settings.md: every setting of a server, read from the settings themselves, so that the page is whole."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from semantic_palette_services.server.security_settings import ENVIRONMENT_PREFIX, SecuritySettings
from semantic_palette_services.server.settings import ServerSettings

HEAD = f"""# Settings of a server

Each is an environment variable as well: `{ENVIRONMENT_PREFIX}` and its name in capitals, such as
`{ENVIRONMENT_PREFIX}MAX_QUEUE`. Those that `semantic-palette serve --help` lists are options too, such as
`--metrics-port`; an option goes before the variable. A value that is not allowed is an error that names the setting; a
variable that is no setting is a warning in the log. Where other commands find services, and how, they read from
`{ENVIRONMENT_PREFIX}CLIENT_...` variables, which their `--help` names.

This page is written by `make settings` from the settings themselves, and a test compares the two.
"""
_COMPUTED = {"worker_threads": "one a core, at most 8"}
"""Defaults that depend on the machine."""


def documented(kind: type) -> Iterator[tuple[str, str]]:
    """Name and docstring of the settings that a class adds to its base, in their order."""
    source = inspect.getsource(kind)
    for name, text in re.findall(r'^    (\w+): .*?\n    """(.*?)"""$', source, re.MULTILINE | re.DOTALL):
        yield name, " ".join(text.replace("``", "`").split())


def default(name: str, field: FieldInfo) -> str:
    """What a setting is where nothing is given."""
    if name in _COMPUTED:
        return _COMPUTED[name]
    value = field.default
    assert value is not PydanticUndefined, f"say in _COMPUTED what {name} is by default"
    match value:
        case None:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{','.join(value)}`"
        case _:
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD]
    for title, kind in (("Services, models and load", ServerSettings), ("Who may call, and how", SecuritySettings)):
        lines += [f"## {title}", "", "| Setting | Default | Meaning |", "|---|---|---|"]
        for name, meaning in documented(kind):
            lines.append(f"| `{name}` | {default(name, kind.model_fields[name])} | {meaning} |")
        lines.append("")
    lines += ["What these protect, and from whom, is in [security.md](security.md).", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
