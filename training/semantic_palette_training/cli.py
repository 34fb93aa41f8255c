"""The commands that training adds to `semantic-palette`: train, export."""

import re
from pathlib import Path
from typing import Annotated

import typer

from semantic_palette.errors import SemanticPaletteError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`. Nothing heavy is imported until one of them runs."""
    app.command()(train)
    app.command()(export)


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
    stages: Annotated[str, typer.Option(help="Stages to run, comma-separated.")] = "palette,layout,image",
    time_limit: Annotated[
        str | None, typer.Option(help="Stop with a checkpoint after this long: 90s, 9m, 1.5h.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the resolved recipe and its costs; train nothing.")] = False,
) -> None:
    """Train the models of a bundle; the same command continues an interrupted run."""
    from semantic_palette_training.data.scenes import load_scenes
    from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
    from semantic_palette_training.pipeline import costs, deadline_after, run_recipe
    from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe

    limit = None if time_limit is None else parse_duration(time_limit)
    try:
        path = find_recipe(recipe)
        loaded = load_recipe(path)
        if dry_run:
            scenes = load_scenes(loaded.data, "train")
            palettes = fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model
            typer.echo(dump_recipe(loaded))
            for name, cost in costs(loaded, scenes, palettes).items():
                typer.echo(f"{name}: {cost['parameters_m']:.2f} M parameters, {cost['gflop']:.2f} GFLOP a sample")
            return
        directory = out or Path("runs") / "-".join(Path(recipe).with_suffix("").parts[-2:])
        outcome = run_recipe(loaded, directory, stages.split(","), deadline=deadline_after(limit))
    except (SemanticPaletteError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{outcome.value}: {directory}")


def export(
    run: Annotated[Path, typer.Option(help="Run folder that `train` wrote.")],
    bundle: Annotated[str, typer.Option(help="Name of the bundle.")],
    model_store: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("model_store"),
) -> None:
    """Export a run as the next version of a bundle. Nothing is overwritten and nothing is activated."""
    from semantic_palette_training.export.bundle import export_bundle

    try:
        path = export_bundle(run, model_store, bundle)
    except (SemanticPaletteError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"exported: {path}")
