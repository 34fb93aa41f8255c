"""Every recipe that comes with the package can be read, printed and read again."""

from pathlib import Path

import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe, recipe_names


def test_the_recipes_of_the_readme_exist() -> None:
    assert {"fast/camvid-cpu", "smoke/streets"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_printing(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe(name))
    printed = tmp_path / "printed.yaml"
    printed.write_text(dump_recipe(recipe))
    assert load_recipe(printed) == recipe
    assert recipe.description


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"fast/camvid-cpu.*smoke/streets"):
        find_recipe("fast/camvid")


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("layout: [1,")
    with pytest.raises(InvalidInputError, match=r"broken\.yaml.*YAML"):
        load_recipe(path)
