"""The commands that training adds to `semantic-palette`: train, recipes, export and those of `data`."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from semantic_palette_training import data_cli

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`. Nothing heavy is imported until one of them runs."""
    app.command()(train)
    app.command()(recipes)
    app.command()(export)
    data_cli.register(app)


def parse_duration(text: str) -> float:
    """Seconds in a duration such as 90s, 9m or 1.5h.

    Raises:
        typer.BadParameter: not such a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 9m or 1.5h")
    return float(match[1]) * _SECONDS[match[2]]


def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, such as fast/camvid-cpu, or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/ and the recipe's name.")] = None,
    stages: Annotated[str | None, typer.Option(help="Stages to run, comma-separated. Default: all of them.")] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop with a checkpoint after this long: 90s, 9m, 1.5h.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N. Default: a GPU where there is one.")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(help="Most samples in memory at once; gradients of a larger batch are accumulated.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option(help="Shrink the recipe to a few steps of narrow networks on procedural scenes.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the resolved recipe and its costs; train nothing.")] = False,
) -> None:
    """Train the models of a bundle; the same command continues an interrupted run, torchrun uses several GPUs."""
    from semantic_palette_training.costs import costs
    from semantic_palette_training.pipeline import run_recipe
    from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe
    from semantic_palette_training.rehearsal import rehearse
    from semantic_palette_training.smoke import shrunk
    from semantic_palette_training.trainers.context import train_context

    deadline = None if time_limit is None else time.monotonic() + parse_duration(time_limit)
    loaded = load_recipe(find_recipe(recipe))
    if smoke:
        loaded = shrunk(loaded)
    if dry_run:
        rehearse(loaded, loaded.stages())
        typer.echo(dump_recipe(loaded))
        for name, cost in costs(loaded).items():
            typer.echo(f"{name}: {cost.parameters / 1e6:.2f} M parameters, {cost.flop / 1e9:.2f} GFLOP a sample")
        return
    directory = out or Path("runs") / "-".join(Path(recipe).with_suffix("").parts[-2:])
    with train_context(device, micro_batch) as context:
        outcome = run_recipe(loaded, directory, context, stages and stages.split(","), deadline=deadline)
    if context.is_main:
        typer.echo(f"{outcome.value}: {directory}")


def recipes(
    measure: Annotated[
        bool, typer.Option(help="Measure this device for 30 seconds and estimate hours from it.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="Device to measure: cpu, cuda or cuda:N.")] = None,
) -> None:
    """List the recipes with what they cost: parameters, operations and, with --measure, hours on this device."""
    from semantic_palette_training.recipe_table import print_recipes

    print_recipes(measure=measure, device=device)


def export(
    run: Annotated[Path, typer.Option(help="Run folder that `train` wrote.")],
    bundle: Annotated[str, typer.Option(help="Name of the bundle.")],
    model_store: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("model_store"),
) -> None:
    """Export a run as the next version of a bundle. Nothing is overwritten and nothing is activated."""
    from semantic_palette_training.export.bundle import export_bundle

    path = export_bundle(run, model_store, bundle)
    typer.echo(f"exported: {path}")
