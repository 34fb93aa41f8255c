"""What is in a bundle, in a few lines for people; the manifest has the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from semantic_palette.manifest import Manifest, ModelEntry

if TYPE_CHECKING:
    from rich.table import Table


def summary_tables(manifest: Manifest, digest: str) -> list[Table]:
    """Two tables: facts about the bundle, and its models."""
    from rich.table import Table

    facts = Table(title=f"{manifest.name}/{manifest.version}", title_justify="left", show_header=False)
    facts.add_column()
    facts.add_column(overflow="fold")
    for name, value in _facts(manifest, digest):
        facts.add_row(name, value)
    models = Table("model", "takes", "gives", "weights (M)", "GMAC", title="models", title_justify="left")
    for column in models.columns[3:]:
        column.justify = "right"
    for operation, entry in manifest.models.items():
        weights, work = f"{entry.parameters / 1e6:.2f}", f"{entry.macs / 1e9:.2f}"
        models.add_row(operation, _takes(entry), _names(entry.outputs), weights, work)
    return [facts, models]


def _facts(manifest: Manifest, digest: str) -> Iterator[tuple[str, str]]:
    space = manifest.label_space
    yield "digest", digest
    yield "created", f"{manifest.created}, semantic-palette {manifest.package_version}"
    yield "size", f"{manifest.height} x {manifest.width} (height x width)"
    yield "classes", f"{space.num_classes} of {space.name}: {', '.join(space.names)}"
    for name in ("title", "name", "licence", "use"):
        if name in manifest.data:
            yield f"data: {name}", str(manifest.data[name])
    for name, value in manifest.quality.items():
        if text := _numbers(value):
            yield f"quality: {name}", text
    if manifest.style_bank is not None:
        yield "styles", "a bank of looks to borrow"


def _takes(entry: ModelEntry) -> str:
    attributes = ", ".join(f"{name}: {value}" for name, value in entry.attributes.items())
    return _names(entry.inputs) + (f" ({attributes})" if attributes else "")


def _names(specs: list[Any]) -> str:
    return ", ".join(spec.name for spec in specs)


def _numbers(value: object) -> str:
    """A number, or the numbers of an object with their names."""
    if isinstance(value, dict):
        named = ((name, _numbers(inner)) for name, inner in value.items() if not isinstance(inner, dict))
        return ", ".join(f"{name} {text}" for name, text in named if text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{value:.4g}"
