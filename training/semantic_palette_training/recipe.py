"""Recipes: one YAML file that says how a whole bundle is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.data.registry import DataConfig
from semantic_palette_training.palette_fit import PaletteFitConfig
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.end_to_end import EndToEndTrainConfig
from semantic_palette_training.trainers.image_config import ImageTrainConfig
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.loop import LoopConfig

#: Stages in the order in which they run. Layout, editor and image need nothing of each other; end_to_end needs both
#: generators.
STAGES = ("palette", "layout", "editor", "image", "end_to_end")


@dataclass(kw_only=True, slots=True)
class Recipe:
    """Everything a run needs to be repeated. A recipe trains the models that it has a section for."""

    description: str
    """What the recipe is for and what it costs."""
    data: DataConfig
    """Which scenes."""
    palette: PaletteFitConfig = field(default_factory=PaletteFitConfig)
    """The palette model."""
    layout: LayoutTrainConfig | None = None
    """The layout generator."""
    editor: EditorTrainConfig | None = None
    """The layout editor."""
    image: ImageTrainConfig | None = None
    """The image generator."""
    end_to_end: EndToEndTrainConfig | None = None
    """Fine-tuning of layout and image generator together."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Intervals of checkpoints, curves and sample sheets."""

    def stages(self) -> tuple[str, ...]:
        """The stages that this recipe has, in order."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)


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
    """Read a recipe with everything that it extends.

    Raises:
        InvalidInputError: not YAML, a key or value that no recipe has (names the key), a recipe that extends itself,
            or a stage that lacks one it builds on.
    """
    recipe = from_plain(Recipe, _read_values(path, ()))
    if recipe.end_to_end is not None and (recipe.layout is None or recipe.image is None):
        raise InvalidInputError("end_to_end", str(path), "a recipe with the sections layout and image is expected")
    if recipe.stages() == ("palette",):
        raise InvalidInputError("recipe", str(path), "a section layout, editor or image is expected")
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe, defaults included, as YAML."""
    text: str = yaml.safe_dump(to_plain(recipe), sort_keys=False, allow_unicode=True)
    return text


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` on top, mapping by mapping; lists and scalars are replaced, and so is a mapping whose
    `name` changes, since the old keys belong to something else."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(dict(old or {}), value) if both and _same_thing(old, value) else value
    return result


def _same_thing(old: Any, new: Any) -> bool:
    """Whether a mapping changes what another describes, rather than naming something else."""
    return bool(new.get("name", old.get("name")) == old.get("name"))


def _read_values(path: Path, seen: tuple[Path, ...]) -> Mapping[str, Any]:
    """The values of a file, merged over those of the recipe it extends."""
    if path.resolve() in seen:
        raise InvalidInputError("extends", str(path), "a recipe that does not extend itself")
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError("recipe", str(path), f"readable YAML is expected ({error})") from error
    if not isinstance(values, dict):
        raise InvalidInputError("recipe", str(path), "a mapping is expected")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise InvalidInputError("extends", parent, "the name or path of a recipe")
    beside = path.parent / parent
    return merged(_read_values(beside if beside.is_file() else find_recipe(parent), (*seen, path.resolve())), values)
