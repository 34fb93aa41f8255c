"""Recipes: one YAML file that says how a whole bundle is trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.data.scenes import DataConfig
from semantic_palette_training.palette_fit import PaletteFitConfig
from semantic_palette_training.trainers.image import ImageTrainConfig
from semantic_palette_training.trainers.layout import LayoutTrainConfig
from semantic_palette_training.trainers.loop import LoopConfig

#: Stages in the order in which they run; the two trained ones need nothing of each other.
STAGES = ("palette", "layout", "image")


@dataclass(kw_only=True, slots=True)
class Recipe:
    """Everything a run needs to be repeated."""

    description: str
    """What the recipe is for and what it costs."""
    data: DataConfig
    """Which scenes."""
    palette: PaletteFitConfig = field(default_factory=PaletteFitConfig)
    """The palette model."""
    layout: LayoutTrainConfig
    """The layout generator."""
    image: ImageTrainConfig
    """The image generator."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Intervals of checkpoints, curves and sample sheets."""


def recipe_folders() -> list[Path]:
    """Where named recipes are looked for: inside an installed package, and beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return [package / "recipes", package.parent / "recipes"]


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package, such as `fast/camvid-cpu`."""
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix()
        for folder in recipe_folders()
        for path in folder.glob("**/*.yaml")
    )


def find_recipe(name: str) -> Path:
    """The file of a recipe given by path or by name.

    Raises:
        InvalidInputError: there is no such file or name; lists the names.
    """
    candidates = [Path(name), *(folder / f"{name}.yaml" for folder in recipe_folders())]
    for path in candidates:
        if path.is_file():
            return path
    raise InvalidInputError("recipe", name, f"a YAML file or one of {', '.join(recipe_names())}")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        InvalidInputError: not YAML, or a key or value that no recipe has; names the key.
    """
    try:
        values: Any = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidInputError("recipe", str(path), f"readable YAML is expected ({error})") from error
    return from_plain(Recipe, values)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe, defaults included, as YAML."""
    text: str = yaml.safe_dump(to_plain(recipe), sort_keys=False)
    return text
