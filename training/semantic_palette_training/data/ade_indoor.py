"""ADE-Indoor: the indoor scenes of ADE20K, from the MIT scene parsing benchmark in its official folder layout.

    images/{training,validation}/ADE_{train,val}_<8 digits>.jpg
    annotations/{training,validation}/ADE_{train,val}_<8 digits>.png
    sceneCategories.txt          a line a scene: `ADE_train_00000001 airport_terminal`

SB-GAN (S. Azadi et al., "Semantic Bottleneck Scene Generation", 2019) made the data set; its lists of files show that
it takes the indoor ones of the 15 most frequent scene categories. Here all scenes of these ten categories count, 4,520
for training and 455 for validation; SB-GAN's lists leave out 143 and 22 of them, by a rule that it does not tell.

Label values are 0 (other objects) and the benchmark's classes 1 to 150. Those that the label space ADE_INDOOR has not
become other_objects; which classes SB-GAN kept is not published, see the label space for the choice.

B. Zhou et al., "Semantic Understanding of Scenes through the ADE20K Dataset", IJCV 2019. Non-commercial use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semantic_palette.label_space import ADE_INDOOR
from semantic_palette_training.data.scene_files import (
    SceneSource,
    data_root,
    id_table,
    ids_reader,
    list_files,
    pair_files,
)
from semantic_palette_training.data.scenes import DataError, Split


@dataclass(kw_only=True, slots=True)
class AdeIndoorData:
    """ADE-Indoor, at one size."""

    name: Literal["ade-indoor"] = "ade-indoor"
    root: str | None = None
    """The folder that holds `annotations/`. Default: `ade-indoor` in, or itself, `$SEMANTIC_PALETTE_DATA`."""
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""


#: The scene categories that make ADE-Indoor.
ROOMS = frozenset(
    {
        "airport_terminal",
        "bathroom",
        "bedroom",
        "conference_room",
        "corridor",
        "dining_room",
        "hotel_room",
        "kitchen",
        "living_room",
        "office",
    }
)
#: The benchmark's classes that the label space has not: outdoor ground and nature; buildings; vehicles; what belongs to
#: shops, bars, playrooms and museums.
_ELSEWHERE_TABLE = """
7 road, 10 grass, 12 sidewalk, 14 earth, 17 mountain, 22 water, 27 sea, 30 field, 35 rock, 47 sand, 53 path, 61 river,
69 hill, 73 palm, 92 dirt track, 95 land, 114 waterfall, 129 lake, 26 house, 33 fence, 49 skyscraper, 52 grandstand,
55 runway, 62 bridge, 80 hovel, 85 tower, 87 awning, 88 streetlight, 89 booth, 94 pole, 105 fountain,
110 swimming pool, 115 tent, 123 tank, 137 traffic light, 141 pier, 21 car, 77 boat, 81 bus, 84 truck, 103 van,
104 ship, 117 minibike, 128 bicycle, 41 base, 56 case, 57 pool table, 78 bar, 79 arcade machine, 102 stage,
106 conveyer belt, 112 barrel, 118 cradle, 120 ball, 124 trade name, 150 flag
"""
_ELSEWHERE = frozenset(int(value) for value in re.findall(r"\d+", _ELSEWHERE_TABLE))
_CATEGORIES = "sceneCategories.txt"
_FOLDERS: Mapping[Split, str] = {"train": "training", "val": "validation"}


def _class_ids() -> dict[int, int]:
    """Ids of the label space by label value; the space has its classes in the benchmark's order."""
    kept = [value for value in range(1, 151) if value not in _ELSEWHERE]
    return dict.fromkeys((0, *_ELSEWHERE), 0) | {value: class_id for class_id, value in enumerate(kept, start=1)}


_TABLE = id_table(_class_ids())


def ade_indoor_source(config: AdeIndoorData, split: Split) -> SceneSource:
    """The files of one split.

    Raises:
        DataError: the data set, a folder of the split, or the list of scene categories is not there or damaged, or the
            split is `test`, which has no labels.
    """
    if split not in _FOLDERS:
        raise DataError("ADE20K publishes no labels of its test split; train and val are allowed")
    root = data_root(config.root, "ade-indoor", "annotations")
    categories = _scene_categories(root / _CATEGORIES)
    images = list_files(root / "images" / _FOLDERS[split], ".jpg")
    labels = list_files(root / "annotations" / _FOLDERS[split], ".png")
    present = images | labels
    problems = [
        f"{present[name]}: {_CATEGORIES} has no line for it" for name in sorted(present.keys() - categories.keys())
    ]
    files, unmatched = pair_files(_indoor(images, categories), _indoor(labels, categories))
    return SceneSource(files, ADE_INDOOR, ids_reader(_TABLE), (*problems, *unmatched))


def _indoor(files: Mapping[str, Path], categories: Mapping[str, str]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if categories.get(name) in ROOMS}


def _scene_categories(path: Path) -> dict[str, str]:
    """The category of every scene, by its name."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with the benchmark's data") from error
    categories: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and len(words) != 2:
            raise DataError(f"{path}, line {number}: {line[:80]!r}; a scene's name and its category are expected")
        if words:
            categories[words[0]] = words[1]
    return categories
