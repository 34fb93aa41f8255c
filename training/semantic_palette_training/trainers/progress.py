"""How far a stage is: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

_SECONDS_A_LINE = 30.0

Advance = Callable[[int, Mapping[str, float]], None]


@contextmanager
def stage_progress(name: str, total_steps: int, first_step: int, *, enabled: bool) -> Iterator[Advance]:
    """Yields a function that takes the updates done and the newest metrics.

    Args:
        name: of the stage.
        total_steps: its updates.
        first_step: those that earlier sessions did.
        enabled: whether this process speaks at all.
    """
    console = Console(stderr=True)
    if not enabled:
        yield lambda step, metrics: None
    elif console.is_terminal:
        with _bar(console) as progress:
            task = progress.add_task(name, total=total_steps, completed=first_step, metrics="")
            yield lambda step, metrics: progress.update(task, completed=step, metrics=_text(metrics))
    else:
        yield _line_writer(name, total_steps)


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=10),
        TextColumn("{task.completed}/{task.total}", table_column=Column(no_wrap=True, min_width=11)),
        TimeElapsedColumn(),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[metrics]}", table_column=Column(no_wrap=True, ratio=1)),
    )
    return Progress(*columns, console=console, expand=True)


def _line_writer(name: str, total_steps: int) -> Advance:
    last = -_SECONDS_A_LINE

    def advance(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_A_LINE or step == total_steps:
            last = now
            # To the process's own stderr at the time, plain: it may be a log file.
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"{name} {step}/{total_steps} {_text(metrics)}")

    return advance


def _text(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{key}={value:.3f}" for key, value in metrics.items())
