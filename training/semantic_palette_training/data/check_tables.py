"""What the commands `data init` and `data check` print."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from semantic_palette_training.data.check import DataReport
from semantic_palette_training.data.colours import hexadecimal
from semantic_palette_training.data.folder_init import FoundValues

_MAX_SHOWN = 20
"""Problems of a kind that are printed; `--json` has them all."""


def found_table(found: FoundValues) -> Table:
    """What `data init` found in label maps."""
    table = Table("colour" if found.in_colour else "value", "mean share (%)", "scenes")
    for value, entry in found.values.items():
        shown = hexadecimal(value) if found.in_colour else str(value)
        table.add_row(shown, f"{100 * entry.share:.2f}", f"{entry.scenes} of {found.scenes}")
    return table


def print_report(report: DataReport, console: Console) -> None:
    """Print splits, classes, problems (some of each kind) and remarks."""
    splits = Table("split", "scenes", "sizes", "problems", title=f"{report.dataset}: {report.label_space}")
    counts = Counter(problem.split for problem in report.problems)
    for part in report.splits:
        sizes = [f"{size} ({count})" for size, count in part.sizes.items()]
        shown = ", ".join(sizes[:4]) + (f" and {len(sizes) - 4} more" if len(sizes) > 4 else "")
        splits.add_row(part.split, str(part.scenes), shown, str(counts[part.split]))
    console.print(splits)
    if report.splits:
        console.print(_class_table(report))
    kinds = Counter(problem.kind for problem in report.problems)
    for kind, count in kinds.items():
        messages = [problem.message for problem in report.problems if problem.kind == kind]
        for message in messages[:_MAX_SHOWN]:
            console.print(f"{kind}: {message}")
        if count > _MAX_SHOWN:
            console.print(f"{kind}: and {count - _MAX_SHOWN} more; --json lists all")
    for remark in report.remarks:
        console.print(f"note: {remark}")
    found = len(report.problems)
    console.print(f"{found} problem{'s' if found > 1 else ''} to fix" if found else "nothing has to be fixed")


def _class_table(report: DataReport) -> Table:
    """Mean share and number of scenes of every class in every split."""
    columns = [text for part in report.splits for text in (f"{part.split} (%)", "scenes")]
    table = Table("id", "class", *columns)
    for column in (table.columns[0], *table.columns[2:]):
        column.justify = "right"
    for rows in zip(*(part.classes for part in report.splits), strict=True):
        cells = [text for entry in rows for text in (f"{100 * entry.mean_share:.2f}", str(entry.scenes))]
        table.add_row(str(rows[0].id), rows[0].name, *cells)
    return table
