"""Values out of range in the stages' sections: found without data, named by their full key."""

import dataclasses
import math
from typing import Any

import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.models.editor import EditorConfig
from semantic_palette_training.models.patch_discriminator import PatchDiscriminatorConfig
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.segmentation_discriminator import SegmentationDiscriminatorConfig
from semantic_palette_training.models.vgg import PerceptualConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig, check_image
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.objectives import HingeConfig, SegmentationConfig
from semantic_palette_training.trainers.phases import Phase

SHAPE = SceneShape(5, 16, 32)
PHASES = (Phase(level=1, stable_steps=2, batch_size=4),)
LAYOUT = LayoutTrainConfig(phases=PHASES, generator=ProgressiveConfig(widths=(4, 4), base_height=8, base_width=16))
EDITOR = EditorTrainConfig(phases=PHASES, generator=EditorConfig(widths=(4, 4)))
IMAGE = ImageTrainConfig(
    phases=(ImagePhase(height=8, steps=1, batch_size=2), ImagePhase(height=16, steps=1, batch_size=2)),
    generator=PyramidConfig(widths=(4, 4)),
    objective=SegmentationConfig(discriminator=SegmentationDiscriminatorConfig(widths=(4, 4))),
)
HINGE = HingeConfig(perceptual=PerceptualConfig(weights="vgg.pth", sha256="0" * 64))


def check(section: str, config: Any) -> None:
    if section == "image":
        check_image(config, SHAPE)
    else:
        config.check(SHAPE)


def with_value(config: Any, key: str, value: Any) -> Any:
    """The config with another value at a dotted key; a number in it is a place in a tuple."""
    plain = to_plain(config)
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    inner = plain
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return from_plain(type(config), plain)


@pytest.mark.parametrize(("section", "config"), [("layout", LAYOUT), ("editor", EDITOR), ("image", IMAGE)])
def test_what_all_stages_have_is_checked_in_all(section: str, config: Any) -> None:
    check(section, config)
    for key, values, allowed in (
        ("learning_rate", (0.0, -1e-3, math.inf, math.nan), "above 0"),
        ("betas.0", (-0.1, 1.0, math.nan), r"at least 0 and below 1"),
        ("betas.1", (1.0, 1.5), r"at least 0 and below 1"),
        ("average_decay", (-0.1, 1.0, math.nan), "at least 0 and below 1"),
        ("soften_sigma", (0.0, math.inf), "above 0"),
        ("soften_keep", (0.4, 1.1, math.nan), r"0\.5 to 1"),
    ):
        name = key.replace(".0", r"\[0\]").replace(".1", r"\[1\]")
        for value in values:
            with pytest.raises(InvalidInputError, match=rf"^{section}\.{name}: {value} .*{allowed}"):
                check(section, with_value(config, key, value))


@pytest.mark.parametrize(("section", "config"), [("layout", LAYOUT), ("editor", EDITOR)])
@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("penalty_weight", -1.0, "penalty_weight"),
        ("penalty_weight", math.nan, "penalty_weight"),
        ("penalty_every", 0, "penalty_every"),
        ("phases.0.conditional_weight", -1.0, r"phases\[0\]\.conditional_weight"),
        ("phases.0.stable_steps", 0, "phases: .*0 steps.*at least 1 step"),
        ("phases", [], "phases"),
        ("generator.latent_size", 0, r"generator\.latent_size"),
        ("generator.widths", [], r"generator\.widths"),
        ("generator.widths", [4, 0], r"generator\.widths"),
        ("generator.fusion_kernel", 2, r"generator\.fusion_kernel"),
    ],
)
def test_progressive_stages_name_what_is_out_of_range(
    section: str, config: Any, key: str, value: Any, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{section}\.{named}"):
        check(section, with_value(config, key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generator.spade_hidden", 0),
        ("generator.sinkhorn_steps", 0),
        ("novelty_weight", -1.0),
        ("merged_entropy_weight", math.inf),
    ],
)
def test_the_editors_own_values(key: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=rf"^editor\.{key}: {value}"):
        with_value(EDITOR, key, value).check(SHAPE)


@pytest.mark.parametrize("shape", [SceneShape(5, 17, 32), SceneShape(5, 16, 33), SceneShape(5, 16, 24)])
def test_an_editor_of_another_size_names_its_own_section(shape: SceneShape) -> None:
    with pytest.raises(InvalidInputError, match=r"^editor\.generator\.widths"):
        EDITOR.check(shape)


@pytest.mark.parametrize(
    ("objective", "key", "value"),
    [
        (IMAGE.objective, "discriminator_learning_rate", 0.0),
        (IMAGE.objective, "discriminator_learning_rate", math.nan),
        (IMAGE.objective, "cool_down", 1.5),
        (IMAGE.objective, "max_shift", 32),
        (IMAGE.objective, "appearance_size", 7),
        (IMAGE.objective, "generator.widths", (4, 0)),
        (IMAGE.objective, "generator.widths", ()),
        (IMAGE.objective, "generator.latent_size", -1),
        (IMAGE.objective, "generator.spade_hidden", 0),
        (IMAGE.objective, "objective.label_mix_weight", -1.0),
        (IMAGE.objective, "objective.anchor_weight", math.nan),
        (IMAGE.objective, "objective.anchor_scales", ()),
        (IMAGE.objective, "objective.anchor_scales", (0,)),
        (IMAGE.objective, "objective.anchor_scales.1", 9),
        (IMAGE.objective, "objective.discriminator.widths", ()),
        (IMAGE.objective, "objective.discriminator.widths", (4,) * 4),
        (HINGE, "objective.feature_weight", -1.0),
        (HINGE, "objective.perceptual.weight", -1.0),
        (HINGE, "objective.discriminator.widths", ()),
        (HINGE, "objective.discriminator.widths", (4, 0)),
        (HINGE, "objective.discriminator.scales", 0),
    ],
)
def test_the_image_stages_own_values(objective: Any, key: str, value: Any) -> None:
    config = dataclasses.replace(IMAGE, objective=objective)
    check_image(config, SHAPE)
    name = key.replace(".1", r"\[1\]")
    with pytest.raises(InvalidInputError, match=rf"^image\.{name}: "):
        check_image(with_value(config, key, value), SHAPE)


@pytest.mark.parametrize(
    ("generator", "key"),
    [
        ({"name": "gaugan", "width": 0}, "width"),
        ({"name": "gaugan", "hidden": 0}, "hidden"),
        ({"name": "pix2pixhd", "width": 0}, "width"),
        ({"name": "sean", "style_size": 0}, "style_size"),
        ({"name": "sean", "encoder_width": -2}, "encoder_width"),
    ],
)
def test_widths_of_other_generators(generator: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^image\.generator\.{key}: .*at least 1"):
        check_image(with_value(IMAGE, "generator", generator), SHAPE)


@pytest.mark.parametrize(
    ("generator", "key"),
    [
        ({"name": "pyramid", "widths": [4] * 6}, "widths"),
        ({"name": "gaugan", "width": 2, "hidden": 2, "doublings": 5}, "doublings"),
        ({"name": "sean", "width": 2, "hidden": 2, "doublings": 5}, "doublings"),
        ({"name": "pix2pixhd", "width": 2, "halvings": 4}, "halvings"),
    ],
)
def test_generators_that_do_not_fit_the_scenes_are_named_as_the_recipe_has_them(
    generator: dict[str, Any], key: str
) -> None:
    with pytest.raises(InvalidInputError, match=rf"^image\.generator\.{key}: .*16x32"):
        check_image(with_value(IMAGE, "generator", generator), SHAPE)


def test_the_meta_device_tells_whether_a_generator_grows_and_its_latent() -> None:
    config = with_value(IMAGE, "generator", {"name": "pix2pixhd", "width": 2, "halvings": 1})
    with pytest.raises(InvalidInputError, match=r"^image\.phases\[0\]\.height: 8 .*does not grow"):
        check_image(config, SHAPE)
    with pytest.raises(InvalidInputError, match=r"^image\.appearance_size: 3 .*0 to 2"):
        check_image(with_value(with_value(IMAGE, "generator.latent_size", 2), "appearance_size", 3), SHAPE)


def test_a_patch_discriminator_is_named_by_its_section() -> None:
    with pytest.raises(InvalidInputError, match=r"^end_to_end\.discriminator\.scales: 0 .*at least 1"):
        PatchDiscriminatorConfig(scales=0).check("end_to_end.discriminator")
