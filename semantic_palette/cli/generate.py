"""`semantic-palette generate`: pairs into a folder."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.cli._errors import INTERRUPTED
from semantic_palette.cli._inputs import parse_shares, read_palettes
from semantic_palette.cli.connection import (
    CaOption,
    CertificateOption,
    KeyOption,
    PlaintextTokenOption,
    TokenFileOption,
    connection,
)
from semantic_palette.errors import InvalidInputError
from semantic_palette.pair import Adherence

if TYPE_CHECKING:
    from semantic_palette.cli._run import Target, Written
    from semantic_palette.cli._summary import Summary
    from semantic_palette.writers.folder import FolderWriter, PairFolder, PairRecord
    from semantic_palette.writers.job import Job, StartedJob


def generate(
    count: Annotated[int, typer.Option(min=1, max=2**32 - 1, help="How many pairs.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the pairs; the same command continues it.")],
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of palettes, layouts and appearance.")] = 0,
    palettes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="FILE.json",
            help="A list of objects from class name to share, each summing to 1; pair i follows palette i modulo their "
            "number. Default: palettes are drawn from the bundle's palette model.",
        ),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="CLASS=SHARE", help="Least share of a class in drawn palettes; repeatable."),
    ] = None,
    maximum: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="CLASS=SHARE", help="Largest share of a class in drawn palettes; repeatable."),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="CLASS=SHARE", help="Share of a class in drawn palettes; repeatable."),
    ] = None,
    adherence: Annotated[
        Adherence, typer.Option(help="natural follows a palette closely, exact to the pixel.")
    ] = Adherence.NATURAL,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Same bytes for the same bundle, seed and index.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the services are. Default: they are started in this process."),
    ] = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME[/VERSION][@SHA256]", help="Default: the services' default bundle.")
    ] = None,
    model_store: Annotated[
        Path,
        typer.Option(envvar="SEMANTIC_PALETTE_MODEL_STORE", help="Bundles, for services started in this process."),
    ] = Path("model_store"),
    engine: Annotated[
        str | None, typer.Option(help="Engine of services started in this process. Default: auto, the fastest.")
    ] = None,
) -> None:
    """Generate labelled pairs whose class proportions follow palettes.

    Writes labels/ID.png (class ids), images/ID.png and pairs.jsonl (one object a pair) to the folder. Interrupted, it
    leaves complete pairs only, and the same command continues; with a larger --count it makes the rest.
    """
    if address is not None and engine is not None:
        raise InvalidInputError(
            "--engine", engine, "it is chosen where the services run; leave out --engine or --address"
        )
    given = {"--min": minimum, "--max": maximum, "--fix": fixed}
    bounds = {option: parse_shares(option, values or ()) for option, values in given.items()}
    if palettes is not None and any(bounds.values()):
        used = ", ".join(option for option, shares in bounds.items() if shares)
        raise InvalidInputError("--palettes", str(palettes), f"{used} would bind drawn palettes, not given ones")

    from semantic_palette.cli._run import Target
    from semantic_palette.writers.folder import PairFolder
    from semantic_palette.writers.job import Job

    job = Job(
        count=count,
        seed=seed,
        palettes=read_palettes(palettes) if palettes is not None else None,
        fixed=bounds["--fix"],
        minimum=bounds["--min"],
        maximum=bounds["--max"],
        adherence=adherence.value,
        deterministic=deterministic,
    )
    folder = PairFolder(out)
    started = folder.job_to_continue(job, bundle)
    target = Target(
        address=address,
        model_store=model_store,
        bundle=bundle,
        engine=engine or "auto",
        credentials=connection(token_file, ca, certificate, key, plaintext_token),
    )
    _fill(job, started, folder, target)


def _fill(job: "Job", started: "StartedJob | None", folder: "PairFolder", target: "Target") -> None:
    from rich.console import Console

    from semantic_palette.cli._run import Written, check_count
    from semantic_palette.cli._summary import Summary
    from semantic_palette.writers.folder import FolderWriter

    summary, written = Summary(), Written(0, 0.0, 0)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with FolderWriter(folder, summary.add) as writer:
        check_count(job.count, writer.next_index, folder.root)
        if writer.next_index >= job.count:
            console.print(f"already complete: {job.count} pairs in {folder.root}")
        else:
            if writer.next_index:
                console.print(f"continuing after {writer.next_index} of {job.count} pairs")
            written = _run(job, started, folder, writer, target, summary)
            console.print(f"{job.count} pairs in {folder.root}")
    if written.projected:
        console.print(f"{written.projected} palettes were projected on the bounds: draws did not meet them")
    for table in summary.tables(written.pairs, written.seconds):
        console.print(table)


def _run(
    job: "Job",
    started: "StartedJob | None",
    folder: "PairFolder",
    writer: "FolderWriter",
    target: "Target",
    summary: "Summary",
) -> "Written":
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from semantic_palette.cli._run import run_job

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pairs", total=job.count, completed=writer.next_index)

        def on_record(record: "PairRecord") -> None:
            summary.add(record)
            progress.advance(task)

        try:
            return asyncio.run(run_job(job, started, folder, writer, target, on_record))
        except (KeyboardInterrupt, asyncio.CancelledError):
            progress.stop()
            done = f"{writer.next_index} of {job.count} pairs are complete in {folder.root}"
            console.print(f"interrupted: {done}; the same command continues")
            raise typer.Exit(INTERRUPTED) from None
