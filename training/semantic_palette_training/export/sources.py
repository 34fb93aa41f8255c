"""A run folder as trained networks: what `train` left there, checked before anything is exported."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from torch import nn

from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import from_plain
from semantic_palette_training.data.registry import DataConfig, data_config
from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.models.image_generator import ImageGenerator, ImageGeneratorConfig
from semantic_palette_training.models.progressive import LayoutGenerator, LayoutGeneratorConfig
from semantic_palette_training.trainers.checkpoint import CheckpointError, load_tensors

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """Everything a run made."""

    directory: Path
    recipe: dict[str, Any]
    """The resolved recipe."""
    data: DataConfig
    palette_model: PaletteModel
    palette_report: dict[str, Any]
    """How the palette model was chosen: criterion, components, scores."""
    layout: LayoutGenerator
    image: ImageGenerator
    label_space: LabelSpace
    height: int
    width: int
    steps: dict[str, int]
    """Updates done, by stage."""
    train_digest: str
    """Of the scenes that it was trained on."""


def read_run(directory: Path) -> TrainedRun:
    """Read a run folder.

    Raises:
        ExportError: a file is missing (the message says which command makes it) or unreadable, weights are not finite
            or do not fit their network, or the stages disagree about label space or size.
    """
    recipe, data = _read_recipe(directory)
    palette_model, palette_report = _read_palette(directory)
    states = {stage: _read_state(directory, stage) for stage in ("layout", "image")}
    for key in ("label_space", "height", "width"):
        if states["layout"][key] != states["image"][key]:
            raise ExportError(f"{directory}: the layout and image stages were trained with different {key}")
    label_space = LabelSpace.from_json(states["layout"]["label_space"])
    if palette_model.means.shape[1] != label_space.num_classes:
        raise ExportError(
            f"{directory}: the palette model has {palette_model.means.shape[1]} classes, "
            f"the generators have {label_space.num_classes}"
        )
    layout, image = _networks(directory, states)
    return TrainedRun(
        directory=directory,
        recipe=recipe,
        data=data,
        palette_model=palette_model,
        palette_report=palette_report,
        layout=layout,
        image=image,
        label_space=label_space,
        height=states["layout"]["height"],
        width=states["layout"]["width"],
        steps={stage: state["step"] for stage, state in states.items()},
        train_digest=_read_digest(directory),
    )


def _require(path: Path, directory: Path, stage: str) -> Path:
    if not path.is_file():
        command = f"semantic-palette train --recipe RECIPE --out {directory} --stages {stage}"
        raise ExportError(f"{path}: there is no such file; `{command}` makes it")
    return path


def _read_recipe(directory: Path) -> tuple[dict[str, Any], DataConfig]:
    """The recipe as values, so that the runs of older recipes stay exportable; only its data is interpreted."""
    path = _require(directory / "recipe.yaml", directory, "palette,layout,image")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(values), data_config(values["data"])
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ExportError(f"{path}: is not a recipe: {error}") from error


def _read_digest(directory: Path) -> str:
    path = _require(directory / "data.json", directory, "palette,layout,image")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["train_digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: holds no digest of the training scenes: {error}") from error


def _read_palette(directory: Path) -> tuple[PaletteModel, dict[str, Any]]:
    arrays = _require(directory / "palette" / "palette.npz", directory, "palette")
    report = _require(directory / "palette" / "palette.json", directory, "palette")
    try:
        return PaletteModel.load(arrays), json.loads(report.read_text(encoding="utf-8"))
    except (SemanticPaletteError, ValueError) as error:
        raise ExportError(f"{arrays.parent}: the palette model cannot be read: {error}") from error


def _read_state(directory: Path, stage: str) -> dict[str, Any]:
    path = _require(directory / stage / "model.pt", directory, stage)
    try:
        state = load_tensors(path)
    except CheckpointError as error:
        raise ExportError(str(error)) from error
    missing = {"model_config", "weights", "label_space", "height", "width", "step", "total_steps"} - state.keys()
    if missing:
        raise ExportError(f"{path}: lacks {', '.join(sorted(missing))}")
    if state["step"] < state["total_steps"]:
        raise ExportError(
            f"{path}: training stopped at step {state['step']} of {state['total_steps']}; "
            f"`semantic-palette train --recipe RECIPE --out {directory} --stages {stage}` finishes it"
        )
    for name, tensor in state["weights"].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ExportError(f"{path}: {name} has values that are not finite; the training diverged")
    return state


def _networks(directory: Path, states: Mapping[str, Mapping[str, Any]]) -> tuple[LayoutGenerator, ImageGenerator]:
    """Both generators with their averaged weights, in evaluation mode."""
    layout = _network(directory, states, "layout", LayoutGeneratorConfig, LayoutGenerator)
    image = _network(directory, states, "image", ImageGeneratorConfig, ImageGenerator)
    config, size = layout.config, (states["layout"]["height"], states["layout"]["width"])
    if config.resolution(config.num_levels - 1) != size:
        made = config.resolution(config.num_levels - 1)
        raise ExportError(f"{directory}: the layout network makes {made[0]}x{made[1]}, not {size[0]}x{size[1]}")
    return layout, image


def _network(
    directory: Path,
    states: Mapping[str, Mapping[str, Any]],
    stage: str,
    config_class: type[Config],
    network_class: Callable[[Config], Network],
) -> Network:
    try:
        network = network_class(from_plain(config_class, states[stage]["model_config"], f"{stage}.model_config"))
        network.load_state_dict(states[stage]["weights"])
    except (InvalidInputError, RuntimeError) as error:
        path = directory / stage / "model.pt"
        raise ExportError(f"{path}: does not fit the networks of this version: {error}") from error
    return network.eval().requires_grad_(False)
