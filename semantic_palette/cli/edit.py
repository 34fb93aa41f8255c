"""`semantic-palette edit`: layouts or pairs, changed in a region."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.cli._errors import INTERRUPTED
from semantic_palette.cli._inputs import parse_box, parse_changes, parse_shares
from semantic_palette.cli.connection import (
    CaOption,
    CertificateOption,
    KeyOption,
    PlaintextTokenOption,
    TokenFileOption,
    connection,
)
from semantic_palette.errors import InvalidInputError

if TYPE_CHECKING:
    from semantic_palette.cli._edit_source import Change, Subject
    from semantic_palette.cli._run import Target

_FILE = {"exists": True, "dir_okay": False, "readable": True}


def edit(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for what is made; the same command continues it.")],
    source: Annotated[
        Path | None,
        typer.Argument(exists=True, readable=True, help="Folder of pairs, or a layout: an 8-bit PNG of class ids."),
    ] = None,
    pair: Annotated[str, typer.Option(help="Which pair of the folder: its index or name.")] = "0",
    labels: Annotated[
        Path | None, typer.Option(**_FILE, metavar="FILE.png", help="The layout of a pair that is in no folder.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(**_FILE, metavar="FILE", help="Its image: PNG, JPEG or WebP. Without it, --out gets layouts."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="LEFT,TOP,RIGHT,BOTTOM", help="The region, in pixels. Default: the whole frame."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(**_FILE, metavar="FILE.png", help="The region: pixels of an 8-bit PNG that are not 0."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="CLASS=SHARE", help="Share of the region that a class shall have; repeatable."
        ),
    ] = None,
    deltas: Annotated[
        list[str] | None,
        typer.Option(
            "--delta", "--add", metavar="CLASS=CHANGE", help="Change of a class's share of the region; repeatable."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=2**32 - 1, help="How many edits, each with noise of its own.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**64 - 1, help="Seed of the edits. Default: the pair's own; 0 for files.")
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Same bytes for the same bundle, source and seed.")
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
        str | None,
        typer.Option(
            metavar="NAME[/VERSION][@SHA256]",
            help="Default: exactly the one that made the folder; for files, the services' default bundle.",
        ),
    ] = None,
    model_store: Annotated[
        Path,
        typer.Option(envvar="SEMANTIC_PALETTE_MODEL_STORE", help="Bundles, for services started in this process."),
    ] = Path("model_store"),
    engine: Annotated[
        str | None, typer.Option(help="Engine of services started in this process. Default: auto, the fastest.")
    ] = None,
) -> None:
    """Edit a layout or a pair in a region, by the shares that classes shall have in it.

    Outside of the region nothing changes, bit for bit. The other classes of the region take what --target leaves, or
    pay what --delta asks, in proportion. Pairs are written as generate writes them, layouts to labels/ and
    layouts.jsonl.
    """
    if address is not None and engine is not None:
        raise InvalidInputError(
            "--engine", engine, "it is chosen where the services run; leave out --engine or --address"
        )
    change = _change(box, mask, parse_shares("--target", target or ()), parse_changes("--delta", deltas or ()))

    from semantic_palette.cli._edit_source import read_subject
    from semantic_palette.cli._run import Target

    subject = read_subject(source, pair, labels, image)
    reference = bundle if bundle is not None else subject.bundle
    services = Target(
        address=address,
        model_store=model_store,
        bundle=reference,
        engine=engine or "auto",
        credentials=connection(token_file, ca, certificate, key, plaintext_token),
    )
    seed = subject.seed if seed is None else seed
    try:
        _edit(subject, change, out, count, seed, deterministic, services)
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo(f"interrupted: what is complete is in {out}; the same command continues", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _change(box: str | None, mask: Path | None, target: dict[str, float], deltas: dict[str, float]) -> "Change":
    from semantic_palette.cli._edit_source import Change

    if bool(target) == bool(deltas):
        given = "both" if target else "neither"
        raise InvalidInputError("--target and --delta", given, "one of the two, for at least one class")
    if box is not None and mask is not None:
        raise InvalidInputError("--mask", str(mask), "it is another region than --box; leave out one of the two")
    region = parse_box("--box", box) if box is not None else None
    return Change(region if mask is None else mask.read_bytes(), target or None, deltas or None)


def _edit(
    subject: "Subject", change: "Change", out: Path, count: int, seed: int, deterministic: bool, services: "Target"
) -> None:
    from rich.console import Console

    from semantic_palette.cli._edit_run import edit_layouts, edit_pairs

    run = edit_layouts if subject.image is None else edit_pairs
    result = run(subject, change, out, count, seed, deterministic, services)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    what = "layouts" if subject.image is None else "pairs"
    if not result.edits:
        console.print(f"already complete: {count} {what} in {out}")
        return
    console.print(f"{count} {what} in {out}")
    for table in result.tables():
        console.print(table)
