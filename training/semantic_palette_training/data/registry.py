"""The data sets that a recipe can name, and the functions that load them.

A data set on disk gives a config dataclass and `source(config, split) -> SceneSource`; what is drawn instead of read
gives `load(config, split) -> Scenes`. One line in `_DATASETS`, and one arm of `DataConfig`, add it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from semantic_palette.label_space import ADE_INDOOR, CAMVID, CELEBAMASK_HQ, CITYSCAPES, IDD, STREETS, LabelSpace
from semantic_palette_training.config import from_plain, require_at_least
from semantic_palette_training.data.ade_indoor import AdeIndoorData, ade_indoor_source
from semantic_palette_training.data.camvid import CamvidData, camvid_source
from semantic_palette_training.data.celebamask import CelebAMaskData, celebamask_source
from semantic_palette_training.data.cityscapes import CityscapesData, cityscapes_source
from semantic_palette_training.data.folder import FolderData, folder_label_space, folder_source
from semantic_palette_training.data.idd import IddData, idd_source
from semantic_palette_training.data.prepared import prepared_scenes
from semantic_palette_training.data.scene_files import SceneSource, read_scenes
from semantic_palette_training.data.scenes import Scenes, Split
from semantic_palette_training.data.streets import StreetsData, streets_split
from semantic_palette_training.scene_shape import SceneShape

#: Which scenes to train on, and at what size: one config class a data set, chosen by its field `name`.
DataConfig: TypeAlias = (
    FolderData | CityscapesData | IddData | AdeIndoorData | CelebAMaskData | CamvidData | StreetsData
)


@dataclass(frozen=True, slots=True)
class _Dataset:
    """How a data set is reached. The functions take an instance of its config class."""

    label_space: Callable[[Any], LabelSpace]
    source: Callable[[Any, Split], SceneSource] | None = None
    load: Callable[[Any, Split], Scenes] | None = None
    """Only where there are no files."""


_DATASETS: Mapping[type, _Dataset] = {
    FolderData: _Dataset(folder_label_space, folder_source),
    CityscapesData: _Dataset(lambda config: CITYSCAPES, cityscapes_source),
    IddData: _Dataset(lambda config: IDD, idd_source),
    AdeIndoorData: _Dataset(lambda config: ADE_INDOOR, ade_indoor_source),
    CelebAMaskData: _Dataset(lambda config: CELEBAMASK_HQ, celebamask_source),
    CamvidData: _Dataset(lambda config: CAMVID, camvid_source),
    StreetsData: _Dataset(lambda config: STREETS, load=streets_split),
}


def load_scenes(config: DataConfig, split: Split) -> Scenes:
    """The scenes of one split, at the configured size; from the cache of `data prepare` where it is up to date.

    Raises:
        InvalidInputError: a field of the config is not allowed.
        DataError: the data set on disk is missing, incomplete or damaged; the message names the file.
    """
    _require_size(config)
    dataset = _DATASETS[type(config)]
    if dataset.load is not None:
        return dataset.load(config, split)
    source = scene_source(config, split)
    assert source is not None, "a data set is either read or drawn"
    prepared = prepared_scenes(config, split, source)
    return read_scenes(source, config.height, config.width) if prepared is None else prepared


def scene_source(config: DataConfig, split: Split) -> SceneSource | None:
    """The files of one split, listed but not read; None for scenes that are drawn.

    Raises:
        DataError: the data set, or a folder of the split, is not there.
    """
    source = _DATASETS[type(config)].source
    return None if source is None else source(config, split)


def has_files(config: DataConfig) -> bool:
    """Whether the data set is read from disk; other scenes are drawn."""
    return _DATASETS[type(config)].source is not None


def label_space_of(config: DataConfig) -> LabelSpace:
    """The label space of a data set, known without reading its scenes.

    Raises:
        InvalidInputError: the label space is the user's own, and its file is not one.
    """
    return _DATASETS[type(config)].label_space(config)


def scene_shape(config: DataConfig) -> SceneShape:
    """What networks have to know of the scenes; raises as `label_space_of`, and for a size below one pixel."""
    _require_size(config)
    return SceneShape(label_space_of(config).num_classes, config.height, config.width)


def data_config(values: Mapping[str, Any]) -> DataConfig:
    """A data config from the YAML values of a recipe's `data`.

    Raises:
        InvalidInputError: an unknown data set, key or value; names the key by its full path.
    """
    config = from_plain(_Holder, {"data": values}).data
    _require_size(config)
    return config


@dataclass(kw_only=True, slots=True)
class _Holder:
    """`from_plain` reads a union where a field has it."""

    data: DataConfig


def _require_size(config: DataConfig) -> None:
    require_at_least("data.height", config.height, 1)
    require_at_least("data.width", config.width, 1)
