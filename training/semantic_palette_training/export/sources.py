"""A run folder as trained networks: what `train` left there, checked before anything is exported."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import from_plain
from semantic_palette_training.data.registry import DataConfig, data_config
from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.models.editor import EditorConfig, LayoutEditor
from semantic_palette_training.models.image_generators import ImageGeneratorConfig, build_image_generator
from semantic_palette_training.models.progressive import LayoutGenerator, ProgressiveConfig
from semantic_palette_training.run_manifest import RunManifest, read_run_manifest
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checkpoint import CheckpointError, load_tensors

KINDS = ("layout", "editor", "image")
"""Kinds of models; the stage that trains one has its name."""
JOINT_STAGE = "end_to_end"
"""The stage that goes on training what others have made; what it leaves replaces theirs."""

_STATE_KEYS = frozenset({"model_config", "weights", "label_space", "height", "width", "step", "total_steps"})


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A network with its averaged weights, in evaluation mode."""

    network: nn.Module
    stage: str
    """The stage whose weights these are."""
    config: dict[str, Any]
    """Its config as plain values."""


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
    models: dict[str, TrainedModel]
    """By kind: some of `KINDS`, at least one."""
    label_space: LabelSpace
    shape: SceneShape
    manifest: RunManifest


def read_run(directory: Path) -> TrainedRun:
    """Read a run folder.

    Raises:
        ExportError: a file is missing (the message says which command makes it) or unreadable, a stage of the recipe is
            not finished, weights are not finite or do not fit their network, or the models disagree about label space
            or size.
    """
    recipe, data = _read_recipe(directory)
    palette_model, palette_report = _read_palette(directory)
    files = _model_files(directory, recipe)
    states = {kind: _read_state(directory, path) for kind, path in files.items()}
    first_kind, first = next(iter(states.items()))
    for kind, state in states.items():
        for key in ("label_space", "height", "width"):
            if state[key] != first[key]:
                raise ExportError(f"{directory}: {first_kind} and {kind} were trained with different {key}")
    label_space = LabelSpace.from_json(first["label_space"])
    if palette_model.means.shape[1] != label_space.num_classes:
        raise ExportError(
            f"{directory}: the palette model has {palette_model.means.shape[1]} classes, "
            f"the generators have {label_space.num_classes}"
        )
    shape = SceneShape(label_space.num_classes, first["height"], first["width"])
    return TrainedRun(
        directory=directory,
        recipe=recipe,
        data=data,
        palette_model=palette_model,
        palette_report=palette_report,
        models={kind: _trained_model(kind, files[kind], state, shape) for kind, state in states.items()},
        label_space=label_space,
        shape=shape,
        manifest=_read_manifest(directory),
    )


def _command(directory: Path, stages: str) -> str:
    return f"`semantic-palette train --recipe RECIPE --out {directory} --stages {stages}`"


def _require(path: Path, directory: Path, stages: str) -> Path:
    if not path.is_file():
        raise ExportError(f"{path}: there is no such file; {_command(directory, stages)} makes it")
    return path


def _read_recipe(directory: Path) -> tuple[dict[str, Any], DataConfig]:
    """The recipe as values, so that the runs of older recipes stay exportable; only its data is interpreted."""
    path = _require(directory / "recipe.yaml", directory, "STAGES")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(values), data_config(values["data"])
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ExportError(f"{path}: is not a recipe: {error}") from error


def _read_manifest(directory: Path) -> RunManifest:
    path = _require(directory / "run.json", directory, "STAGES")
    try:
        return read_run_manifest(directory)
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: is not the manifest of a run: {error}") from error


def _read_palette(directory: Path) -> tuple[PaletteModel, dict[str, Any]]:
    arrays = _require(directory / "palette" / "palette.npz", directory, "palette")
    report = _require(directory / "palette" / "palette.json", directory, "palette")
    try:
        return PaletteModel.load(arrays), json.loads(report.read_text(encoding="utf-8"))
    except (SemanticPaletteError, ValueError) as error:
        raise ExportError(f"{arrays.parent}: the palette model cannot be read: {error}") from error


def _model_files(directory: Path, recipe: Mapping[str, Any]) -> dict[str, Path]:
    """The file of each model that the recipe trains; where a stage trains several together, theirs win."""
    joint = {kind: directory / JOINT_STAGE / f"{kind}.pt" for kind in KINDS} if recipe.get(JOINT_STAGE) else {}
    files = {kind: path for kind, path in joint.items() if path.is_file()}
    if joint and not files:
        _require(directory / JOINT_STAGE / "image.pt", directory, JOINT_STAGE)
    for kind in KINDS:
        if kind not in files and recipe.get(kind):
            files[kind] = _require(directory / kind / f"{kind}.pt", directory, kind)
    if not files:
        raise ExportError(f"{directory}: the recipe trains no model; it needs one of {', '.join(KINDS)}")
    return {kind: files[kind] for kind in KINDS if kind in files}


def _read_state(directory: Path, path: Path) -> dict[str, Any]:
    try:
        state = load_tensors(path)
    except CheckpointError as error:
        raise ExportError(str(error)) from error
    missing = _STATE_KEYS - state.keys()
    if missing:
        raise ExportError(f"{path}: lacks {', '.join(sorted(missing))}")
    if state["step"] < state["total_steps"]:
        raise ExportError(
            f"{path}: training stopped at step {state['step']} of {state['total_steps']}; "
            f"{_command(directory, path.parent.name)} finishes it"
        )
    for name, tensor in state["weights"].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ExportError(f"{path}: {name} has values that are not finite; the training diverged")
    return state


def _trained_model(kind: str, path: Path, state: Mapping[str, Any], shape: SceneShape) -> TrainedModel:
    try:
        network = _BUILDERS[kind](state["model_config"], shape)
        network.load_state_dict(state["weights"])
    except (InvalidInputError, RuntimeError) as error:
        raise ExportError(f"{path}: does not fit the networks of this version: {error}") from error
    return TrainedModel(network.eval().requires_grad_(False), path.parent.name, state["model_config"])


@dataclass(kw_only=True, slots=True)
class _ImageModel:
    """`from_plain` reads a union where a field has it."""

    image: ImageGeneratorConfig


def _layout(config: dict[str, Any], shape: SceneShape) -> nn.Module:
    return LayoutGenerator(from_plain(ProgressiveConfig, config, "model_config"), shape)


def _editor(config: dict[str, Any], shape: SceneShape) -> nn.Module:
    return LayoutEditor(from_plain(EditorConfig, config, "model_config"), shape)


def _image(config: dict[str, Any], shape: SceneShape) -> nn.Module:
    return build_image_generator(from_plain(_ImageModel, {"image": config}, "model_config").image, shape)


_BUILDERS: dict[str, Callable[[dict[str, Any], SceneShape], nn.Module]] = {
    "layout": _layout,
    "editor": _editor,
    "image": _image,
}
