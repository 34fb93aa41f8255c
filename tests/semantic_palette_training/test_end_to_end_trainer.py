"""The end-to-end stage: whose gradients reach whom, where it starts from, resuming bit for bit, accumulation."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_runs import ALONE, assert_identical, run

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.losses import hinge
from semantic_palette_training.losses.conditional import entropy_loss, spread_loss
from semantic_palette_training.losses.feature_matching import feature_matching_loss
from semantic_palette_training.models.patch_discriminator import PatchDiscriminatorConfig
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.sean import SeanConfig
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.end_to_end import EndToEndTrainConfig, EndToEndTrainer
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.loop import Outcome
from semantic_palette_training.trainers.objectives import HingeConfig
from semantic_palette_training.trainers.phases import Phase
from semantic_palette_training.trainers.randomness import step_generator

# Without spectral normalisation, whose power iteration makes of every pass another function.
PATCHES = PatchDiscriminatorConfig(widths=(4, 6), spectral=False)
CONFIG = EndToEndTrainConfig(steps=4, batch_size=2, feedback_weight=0.5, discriminator=PATCHES)
LAYOUT = LayoutTrainConfig(
    phases=(Phase(level=1, stable_steps=2, batch_size=4, conditional_weight=3.0),),
    generator=ProgressiveConfig(latent_size=6, widths=(8, 6)),
)
SB_GAN = dataclasses.replace(
    LAYOUT,
    generator=dataclasses.replace(LAYOUT.generator, conditioning="none", fusion=False),
    conditional="none",
    real="hard",
    fake="gumbel",
)
IMAGE = ImageTrainConfig(
    phases=(ImagePhase(height=8, steps=2, batch_size=2),),
    generator=PyramidConfig(latent_size=7, widths=(6, 6)),
    objective=HingeConfig(discriminator=PATCHES),
    max_shift=1,
)

#: A rate whose steps are lost in float32.
STILL = 1e-20


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(StreetsData(height=8, width=16, count=12), "train")


@pytest.fixture(scope="module")
def palettes(scenes: Scenes) -> PaletteModel:
    return fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model


def make(
    scenes: Scenes,
    palettes: PaletteModel,
    config: EndToEndTrainConfig = CONFIG,
    layout: LayoutTrainConfig = LAYOUT,
    image: ImageTrainConfig = IMAGE,
    context: TrainContext = ALONE,
) -> EndToEndTrainer:
    trainer = EndToEndTrainer(config, layout, image, scenes, scenes, palettes, context)
    # RGB outputs begin at zero, and a generator whose images do not depend on the layout sends nothing back.
    for level in trainer.image.generator.levels:
        torch.nn.init.normal_(level.to_rgb.weight)
    return trainer


def gradients(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


def test_the_generators_get_the_gradients_of_section_3_3(scenes: Scenes, palettes: PaletteModel) -> None:
    """Against one graph of the whole sum: WGAN, conditional losses, feedback through the image generator, objective."""
    trainer = make(scenes, palettes, dataclasses.replace(CONFIG, layout_learning_rate=STILL), image=still(IMAGE))
    trainer.run_step()
    left = gradients(trainer.layout.generator), gradients(trainer.image.generator)

    layout, image = trainer.layout, trainer.image
    layout.step_index = image.step_index = 0
    draw, shard = layout.batches.draw(0), Shard(slice(0, 2), 1.0)
    numbers = step_generator(CONFIG.seed, "end_to_end", 0)
    image_draws = image.batches.draws(0, numbers)
    image.objective.draws(2, numbers)
    z_BZ = torch.randn(2, 7, generator=numbers)
    assert image.generator.latent_size == 7
    outputs = layout.generator(layout.batches.latents(draw, shard), layout.batches.palettes(draw, shard), 1, 1.0)
    m_BKHW = outputs[-1].soft_BKHW
    conditional = sum(entropy_loss(output) + spread_loss(output) for output in outputs)
    feedback = hinge.generator_loss([f[-1] for f in trainer.discriminator(image.generator.from_layout(m_BKHW, z_BZ))])
    real = image.batches.scenes(image_draws, slice(0, 2))
    made_B3HW = image.generator.from_layout(real.layout_BKHW, image_draws.z_BZ)
    judged = [image.objective.discriminator(torch.cat([real.layout_BKHW, x], 1)) for x in (made_B3HW, real.image_B3HW)]
    objective = hinge.generator_loss([scale[-1] for scale in judged[0]]) + 10.0 * feature_matching_loss(*judged)
    loss = -layout.discriminator(m_BKHW, 1).mean() + 3.0 * conditional + 0.5 * feedback + objective
    for network in (layout.generator, image.generator):
        network.zero_grad()
    loss.backward()
    for network, expected in zip((layout.generator, image.generator), left, strict=True):
        actual = gradients(network)
        assert actual.keys() == expected.keys()
        for name, gradient in actual.items():
            torch.testing.assert_close(expected[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    assert ((real.layout_BKHW > 0) & (real.layout_BKHW < 1)).any(), "real layouts are soft, as generated ones are"


def test_the_discriminators_get_the_gradients_of_section_3_3(scenes: Scenes, palettes: PaletteModel) -> None:
    """Unconditional: images of generated layouts against photos. Conditional: images of real layouts, beside them."""
    trainer = make(scenes, palettes, dataclasses.replace(CONFIG, layout_learning_rate=STILL), image=still(IMAGE))
    trainer.run_step()
    unconditional, conditional = trainer.discriminator, trainer.image.objective.discriminator
    left = gradients(unconditional), gradients(conditional)

    layout, image = trainer.layout, trainer.image
    layout.step_index = image.step_index = 0
    draw, shard = layout.batches.draw(0), Shard(slice(0, 2), 1.0)
    numbers = step_generator(CONFIG.seed, "end_to_end", 0)
    image_draws = image.batches.draws(0, numbers)
    z_BZ = torch.randn(2, 7, generator=numbers)
    real = image.batches.scenes(image_draws, slice(0, 2))
    with torch.no_grad():
        asked = layout.batches.palettes(draw, shard)
        m_BKHW = layout.generator(layout.batches.latents(draw, shard), asked, 1, 1.0)[-1].soft_BKHW
        of_generated = image.generator.from_layout(m_BKHW, z_BZ)
        of_real = image.generator.from_layout(real.layout_BKHW, image_draws.z_BZ)
    unconditional.zero_grad()
    (0.5 * _literal_hinge(unconditional(real.image_B3HW), unconditional(of_generated))).backward()
    conditional.zero_grad()
    photo, fake = (torch.cat([real.layout_BKHW, x], dim=1) for x in (real.image_B3HW, of_real))
    _literal_hinge(conditional(photo), conditional(fake)).backward()
    for network, expected in zip((unconditional, conditional), left, strict=True):
        actual = gradients(network)
        assert actual.keys() == expected.keys() == dict(network.named_parameters()).keys()
        for name, gradient in actual.items():
            torch.testing.assert_close(expected[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def _literal_hinge(real: list[Any], fake: list[Any]) -> torch.Tensor:
    """Mean over scales of mean(max(0, 1 - D(real))) + mean(max(0, 1 + D(fake)))."""
    scales = [
        (1 - of_real[-1]).clamp_min(0).mean() + (1 + of_fake[-1]).clamp_min(0).mean()
        for of_real, of_fake in zip(real, fake, strict=True)
    ]
    return sum(scales, torch.zeros(())) / len(scales)


def still(config: ImageTrainConfig) -> ImageTrainConfig:
    return dataclasses.replace(config, learning_rate=STILL, discriminator_learning_rate=STILL)


def test_without_feedback_the_layout_generator_does_not_notice_images(scenes: Scenes, palettes: PaletteModel) -> None:
    left = []
    for weight in (0.0, 0.5):
        trainer = make(scenes, palettes, dataclasses.replace(CONFIG, feedback_weight=weight))
        trainer.run_step()
        left.append(gradients(trainer.layout.generator))
    assert any(not torch.equal(left[0][name], left[1][name]) for name in left[0])


@pytest.mark.parametrize("layout", [LAYOUT, SB_GAN], ids=["semantic palette", "SB-GAN"])
def test_it_learns_and_resumes_bit_for_bit(
    layout: LayoutTrainConfig, scenes: Scenes, palettes: PaletteModel, tmp_path: Path
) -> None:
    whole = make(scenes, palettes, layout=layout)
    before = {name: weight.clone() for name, weight in whole.layout.generator.state_dict().items()}
    assert run(whole, tmp_path / "whole") is Outcome.FINISHED
    assert run(make(scenes, palettes, layout=layout), tmp_path / "cut", until=2) is Outcome.STOPPED
    assert run(make(scenes, palettes, layout=layout), tmp_path / "cut") is Outcome.FINISHED
    states = [load_tensors(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut")]
    assert_identical(*states)
    assert any(not torch.equal(weight, before[name]) for name, weight in whole.layout.generator.state_dict().items())
    for kind in ("layout", "image"):
        state = load_tensors(tmp_path / "whole" / f"{kind}.pt")
        assert (state["step"], state["total_steps"], state["height"]) == (4, 4, 8)


def test_it_starts_from_the_networks_of_both_stages(scenes: Scenes, palettes: PaletteModel) -> None:
    layout, image = LayoutTrainer(LAYOUT, scenes, palettes, ALONE), ImageTrainer(IMAGE, scenes, scenes, ALONE)
    layout.run_step()
    image.run_step()
    trainer = make(scenes, palettes, dataclasses.replace(CONFIG, seed=9))
    trainer.start_from(layout.state_dict(), image.state_dict())
    parts: list[tuple[Any, Any]] = [
        (trainer.layout.generator, layout.generator),
        (trainer.layout.discriminator, layout.discriminator),
        (trainer.layout.average.average, layout.average.average),
        (trainer.image.generator, image.generator),
        (trainer.image.objective.discriminator, image.objective.discriminator),
        (trainer.image.average.average, image.average.average),
    ]
    for own, other in parts:
        assert_identical(dict(own.state_dict()), dict(other.state_dict()))
    assert trainer.step_index == trainer.layout.step_index == trainer.image.step_index == 0
    assert not trainer.layout.optimisers[0].state, "optimisers start afresh"


def test_accumulation_means_the_same_batch(scenes: Scenes, palettes: PaletteModel) -> None:
    """Of the layout discriminator, which no batch statistics reach in the first step."""
    whole = make(scenes, palettes)
    parts = make(scenes, palettes, context=TrainContext(torch.device("cpu"), micro_batch=1))
    whole.run_step()
    parts.run_step()
    for name, gradient in gradients(whole.layout.discriminator).items():
        torch.testing.assert_close(
            gradients(parts.layout.discriminator)[name], gradient, rtol=1e-4, atol=1e-5, msg=name
        )


def test_what_does_not_fit_is_named(scenes: Scenes, palettes: PaletteModel) -> None:
    with pytest.raises(InvalidInputError, match=r"end_to_end\.steps"):
        make(scenes, palettes, dataclasses.replace(CONFIG, steps=0))
    styled = dataclasses.replace(IMAGE, generator=SeanConfig(width=2, hidden=4, style_size=4, encoder_width=2))
    with pytest.raises(InvalidInputError, match=r"image\.generator\.name.*sean.*without styles"):
        make(scenes, palettes, image=styled)


def test_the_sheet_is_a_picture(scenes: Scenes, palettes: PaletteModel) -> None:
    sheet = make(scenes, palettes).sample_sheet()
    assert sheet.ndim == 3
    assert sheet.std() > 0
