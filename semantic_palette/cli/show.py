"""`semantic-palette show`: a contact sheet of a folder of pairs, and the table of its KLs."""

from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from semantic_palette.contact_sheet import SheetRow
    from semantic_palette.label_space import LabelSpace
    from semantic_palette.writers.folder import PairRecord

_MAX_PALETTE_ROWS = 20


def show(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder that generate wrote.")],
    count: Annotated[int, typer.Option(min=1, max=50, help="How many pairs, of different palettes.")] = 3,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Default: contact_sheet.png in the folder.")] = None,
) -> None:
    """Draw a contact sheet of a folder of pairs and print how closely they follow their palettes."""
    from rich.console import Console

    from semantic_palette.contact_sheet import contact_sheet
    from semantic_palette.writers.folder import PairFolder

    pairs = PairFolder(folder)
    started = pairs.started_job()
    kls = array("d", (record.kl for record in pairs.records())) if started is not None else array("d")
    if started is None or not kls:
        raise InvalidInputError("folder", str(folder), "a folder with complete pairs that generate wrote")
    num_palettes = len(started.job.palettes) if started.job.palettes else None
    chosen = set(_spread(count, len(kls), num_palettes))
    records = [record for i, record in enumerate(pairs.records()) if i in chosen]
    rows = [_sheet_row(folder, record, started.label_space) for record in records]
    identity = started.bundle
    title = f"{identity.name} {identity.version}: {len(kls)} pairs, {started.job.adherence} adherence"
    path = out or folder / "contact_sheet.png"
    contact_sheet(rows, started.label_space, title).save(path)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(kl_table(kls, started.job.palettes))
    console.print(f"contact sheet: {path}")


def kl_table(kls: "array[float]", palettes: list[dict[str, float]] | None) -> "Table":
    """KL of all pairs and, where the palettes were given, of the pairs of each."""
    from rich.table import Table

    table = Table("palette", "pairs", "mean KL", "median KL", "max KL")
    for column in table.columns[1:]:
        column.justify = "right"
    shown = (palettes or [])[:_MAX_PALETTE_ROWS]
    for i, palette in enumerate(shown):
        _add_row(table, f"{i}: {describe(palette)}", kls[i :: len(palettes or ())])
    if palettes and len(palettes) > len(shown):
        table.add_row(f"and {len(palettes) - len(shown)} more palettes")
    if shown:
        table.add_section()
    _add_row(table, "all", kls)
    return table


def describe(shares: dict[str, float]) -> str:
    """The largest shares of a palette in words, such as "road 30 %, sky 20 %, ..."."""
    largest = sorted((item for item in shares.items() if item[1] > 0), key=lambda item: -item[1])
    words = [f"{name} {100 * share:.0f} %" for name, share in largest[:3]]
    return ", ".join(words + ["..."] * (len(largest) > 3))


def _add_row(table: "Table", name: str, kls: "array[float]") -> None:
    from statistics import fmean, median

    numbers = (fmean(kls), median(kls), max(kls)) if kls else ()
    table.add_row(name, str(len(kls)), *(f"{number:.4f}" for number in numbers))


def _spread(count: int, num_pairs: int, num_palettes: int | None) -> "Iterable[int]":
    """Indices of pairs of different palettes, spread over the palettes; pair i has palette i modulo their number.

    Where there are fewer palettes than `count`, palettes come again.
    """
    distinct = min(num_pairs, num_palettes or num_pairs)
    if count >= distinct:
        return range(min(count, num_pairs))
    return {round(i * (distinct - 1) / max(1, count - 1)) for i in range(count)}


def _sheet_row(folder: Path, record: "PairRecord", space: "LabelSpace") -> "SheetRow":
    import numpy as np
    from PIL import Image

    from semantic_palette.contact_sheet import SheetRow
    from semantic_palette.layout import decode_png

    with Image.open(folder / record.image) as image:
        pixels = np.asarray(image.convert("RGB"))
    return SheetRow(
        name=record.id,
        labels=decode_png((folder / record.label).read_bytes(), space.num_classes, field=record.label),
        image=pixels,
        requested=np.array([record.requested[name] for name in space.names]),
        achieved=np.array([record.achieved[name] for name in space.names]),
        kl=record.kl,
    )
