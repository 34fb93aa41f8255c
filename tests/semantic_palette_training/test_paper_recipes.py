"""Every row of the paper's tables that is trained here is a recipe, and the recipe says what the row says."""

import pytest

from semantic_palette_training.models.gaugan import GauganConfig
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig
from semantic_palette_training.models.sean import SeanConfig
from semantic_palette_training.recipe import Recipe, find_recipe, load_recipe, recipe_names
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig

COMPARED = ("pgan-cgan", "sb-gan", "semantic-palette", "sb-gan-e2e", "semantic-palette-e2e")
TABLES = {
    "1": [f"cityscapes/{row}" for row in ("baseline-1", "baseline-2", "semantic-palette", "semantic-palette-e2e")],
    "2": [f"{data}/{row}" for data in ("cityscapes", "cityscapes-25k", "idd") for row in COMPARED],
    "3, Part.": [f"{data}/editor" for data in ("cityscapes", "cityscapes-25k", "idd")],
    "4": [*(f"cityscapes/table-4-row-{row}" for row in range(1, 5)), "cityscapes/semantic-palette"],
    "6": [f"ade-indoor/{row}" for row in COMPARED],
    "7": [f"cityscapes-256x512/{row}" for row in ("sb-gan", "semantic-palette")],
    "section 5.4": ["celebamask-hq/face-editor"],
}
RESIDUAL_FUSION, MULTI_SCALE, SOFT_MASKS, PALETTE_GENERATOR = range(4)
#: The columns that are marked in the rows of Table 4.
MARKED = {
    "table-4-row-1": set(),
    "table-4-row-2": {RESIDUAL_FUSION},
    "table-4-row-3": {RESIDUAL_FUSION, MULTI_SCALE},
    "table-4-row-4": {RESIDUAL_FUSION, MULTI_SCALE, SOFT_MASKS},
    "semantic-palette": {RESIDUAL_FUSION, MULTI_SCALE, SOFT_MASKS, PALETTE_GENERATOR},
}


def paper(name: str) -> Recipe:
    return load_recipe(find_recipe(f"paper/{name}"))


def layout_of(name: str) -> LayoutTrainConfig:
    layout = paper(name).layout
    assert layout is not None
    return layout


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_a_recipe_on_its_data_set(table: str) -> None:
    for name in TABLES[table]:
        assert f"paper/{name}" in recipe_names()
        recipe, data = paper(name), name.split("/")[0]
        assert recipe.data.name == data.removesuffix("-256x512").removesuffix("-25k")
        assert getattr(recipe.data, "extra", False) == (data == "cityscapes-25k")
        assert ("end_to_end" in recipe.stages()) == name.endswith("-e2e")
        assert ("editor" in recipe.stages()) == name.endswith("editor")
        if data == "cityscapes-256x512":
            assert (recipe.data.height, recipe.data.width) == (256, 512)


@pytest.mark.parametrize("row", MARKED)
def test_a_row_of_table_4_has_the_parts_that_are_marked(row: str) -> None:
    layout = layout_of(f"cityscapes/{row}")
    assert layout.generator.conditioning == "saa"
    assert layout.generator.fusion == (RESIDUAL_FUSION in MARKED[row])
    assert layout.multi_scale == (MULTI_SCALE in MARKED[row])
    assert (layout.real, layout.fake) == (("soft", "soft") if SOFT_MASKS in MARKED[row] else ("hard", "gumbel"))
    assert layout.palette_source == ("model" if PALETTE_GENERATOR in MARKED[row] else "data")


def test_baselines_are_what_appendix_b_and_section_5_say() -> None:
    first, second = layout_of("cityscapes/baseline-1"), layout_of("cityscapes/baseline-2")
    assert (first.generator.conditioning, first.conditional) == ("input", "matching")
    assert (second.generator.conditioning, second.conditional) == ("input", "none")
    assert (first.generator.discriminator_conditioning, second.generator.discriminator_conditioning) == (False, True)
    for data in ("cityscapes", "cityscapes-25k", "idd", "ade-indoor"):
        unconditional = layout_of(f"{data}/sb-gan")
        assert (unconditional.generator.conditioning, unconditional.fake) == ("none", "gumbel")
        assert layout_of(f"{data}/pgan-cgan") == unconditional


def test_images_are_painted_by_the_papers_generators() -> None:
    for names in TABLES.values():
        for name in names:
            image = paper(name).image
            assert image is not None
            kinds = {"pgan-cgan": Pix2PixHDConfig, "face-editor": SeanConfig}
            assert isinstance(image.generator, kinds.get(name.split("/")[1], GauganConfig))
