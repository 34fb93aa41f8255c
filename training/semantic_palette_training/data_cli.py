"""The commands `semantic-palette data`: init, check and prepare. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from semantic_palette.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from semantic_palette_training.data.registry import DataConfig
    from semantic_palette_training.data.scenes import Split

Folder = Annotated[Path | None, typer.Argument(help="Folder of the data set.", show_default=False)]
Recipe = Annotated[str | None, typer.Option(help="Take the data set of this recipe (name or YAML file).")]
Dataset = Annotated[str | None, typer.Option(help="Name of a known data set. Default: folder, a layout of your own.")]
LabelSpaceFile = Annotated[Path | None, typer.Option(help="Default: label_space.json in the folder.", dir_okay=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A key of a recipe's `data`, such as label_suffix=_mask; may be repeated."),
]
Height = Annotated[int | None, typer.Option(min=1, help="Rows of a scene in training.")]
Width = Annotated[int | None, typer.Option(min=1, help="Columns of a scene in training.")]


def register(app: typer.Typer) -> None:
    """Add the sub-commands to `app`."""
    data = typer.Typer(no_args_is_help=True, help="Look at a data set, check it and prepare it for training.")
    data.command()(init)
    data.command()(check)
    data.command()(prepare)
    app.add_typer(data, name="data")


def init(
    folder: Annotated[Path, typer.Argument(help="Folder with images and label maps.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: label_space.json in the folder.")] = None,
    settings: Settings = None,
) -> None:
    """Write a first label_space.json from what is in the label maps; you then name the classes."""
    from semantic_palette_training.data.check_tables import found_table
    from semantic_palette_training.data.folder import LABEL_SPACE_FILE, FolderData
    from semantic_palette_training.data.folder_init import label_space_text, scan_values
    from semantic_palette_training.data.registry import data_config

    path = out or folder / LABEL_SPACE_FILE
    if path.exists():
        raise InvalidInputError("out", str(path), "a file that is not there yet is expected; nothing is overwritten")
    config = data_config({"name": "folder", "root": str(folder), **_plain(settings)})
    assert isinstance(config, FolderData)
    with _progress() as progress:
        task = progress.add_task("label maps")
        found = scan_values(config, lambda done, total: progress.update(task, completed=done, total=total))
    name = folder.resolve().name
    path.write_text(label_space_text(name, found), encoding="utf-8")
    console = _console()
    console.print(found_table(found))
    console.print(f"wrote {path}: name the classes there (merge by giving a class several values), then run data check")


def check(
    folder: Folder = None,
    recipe: Recipe = None,
    dataset: Dataset = None,
    label_space: LabelSpaceFile = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Report sizes, class shares and all that is wrong with a data set; the exit code is 1 if something is."""
    from semantic_palette_training.config import to_plain
    from semantic_palette_training.data.check import check_data
    from semantic_palette_training.data.check_tables import print_report
    from semantic_palette_training.data.registry import has_files

    config = _config(folder, recipe, dataset, _with_label_space(settings, label_space))
    if not has_files(config):
        typer.echo(f"{config.name}: scenes are drawn, not read; there is nothing to check")
        return
    with _progress() as progress:
        tasks: dict[str, Any] = {}

        def on_scene(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = progress.add_task(split, total=total)
            progress.update(tasks[split], completed=done)

        report = check_data(config, on_scene)
    if as_json:
        typer.echo(json.dumps(to_plain(report), indent=2))
    else:
        print_report(report, _console())
    if report.problems:
        raise typer.Exit(1)


def prepare(
    folder: Folder = None,
    recipe: Recipe = None,
    dataset: Dataset = None,
    label_space: LabelSpaceFile = None,
    height: Height = None,
    width: Width = None,
    settings: Settings = None,
    splits: Annotated[str, typer.Option(help="Splits to prepare, comma-separated.")] = "train,val",
    cache: Annotated[
        Path | None, typer.Option(help="Default: $SEMANTIC_PALETTE_CACHE or ~/.cache/semantic-palette.")
    ] = None,
) -> None:
    """Keep the scenes at the size of training, and runs start at once: they use what is up to date."""
    from semantic_palette_training.data.prepared import CACHE_VARIABLE, cache_folder
    from semantic_palette_training.data.registry import has_files

    sizes = [f"{key}={value}" for key, value in (("height", height), ("width", width)) if value is not None]
    config = _config(folder, recipe, dataset, _with_label_space([*(settings or []), *sizes], label_space))
    if not has_files(config):
        raise InvalidInputError("data.name", config.name, "a data set that is read from files; this one is drawn")
    for split in splits.split(","):
        _prepare_split(config, split, cache)
    if cache is not None and cache.resolve() != cache_folder().resolve():
        _console().print(f"runs find it with {CACHE_VARIABLE}={cache}")


def _prepare_split(config: DataConfig, split: str, cache: Path | None) -> None:
    from semantic_palette_training.data.prepared import prepare_scenes
    from semantic_palette_training.data.registry import scene_source

    if split not in ("train", "val", "test"):
        raise InvalidInputError("splits", split, "some of train, val, test are expected")
    chosen = cast("Split", split)
    source = scene_source(config, chosen)
    assert source is not None, "a data set with files has sources"
    with _progress() as progress:
        task = progress.add_task(split, total=len(source.files))
        done = prepare_scenes(
            config, chosen, source, cache, lambda scenes, total: progress.update(task, completed=scenes)
        )
    state = "prepared" if done.built else "up to date"
    size = f"{done.num_scenes} scenes, {done.num_bytes / 1e6:.1f} MB"
    _console().print(f"{split}: {state}: {size}, digest {done.digest[:12]}, {done.folder}")


def _config(folder: Path | None, recipe: str | None, dataset: str | None, settings: list[str]) -> DataConfig:
    """The data set that the options name."""
    from semantic_palette_training.data.registry import data_config

    values: dict[str, Any]
    if recipe is not None:
        if dataset is not None:
            raise InvalidInputError("dataset", dataset, "either a recipe or a data set is expected")
        values = _recipe_data(recipe)
    elif folder is None and dataset is None:
        raise InvalidInputError("folder", None, "a folder, --dataset or --recipe is expected")
    else:
        values = {"name": dataset or "folder"}
    return data_config(values | ({} if folder is None else {"root": str(folder)}) | _plain(settings))


def _recipe_data(recipe: str) -> dict[str, Any]:
    """The section `data` of a recipe. Recipes bring torch, so this is not imported without need."""
    from semantic_palette_training.config import to_plain
    from semantic_palette_training.recipe import find_recipe, load_recipe

    return dict(to_plain(load_recipe(find_recipe(recipe)).data))


def _with_label_space(settings: list[str] | None, label_space: Path | None) -> list[str]:
    return [*(settings or []), *([] if label_space is None else [f"label_space={label_space}"])]


def _plain(settings: list[str] | None) -> dict[str, Any]:
    """Values of `key=value` texts, as YAML reads them."""
    import yaml

    values = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInputError("set", setting, "key=value is expected, such as label_suffix=_mask")
        values[key] = yaml.safe_load(text)
    return values


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on stderr, so that stdout holds the answer alone."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
