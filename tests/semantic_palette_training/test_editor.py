"""The partial editor: sizes of the published network, the merge, what may appear where."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.data.crops import region_palette
from semantic_palette_training.losses.conditional import conditional_losses
from semantic_palette_training.models.editor import EditorConfig, LayoutEditor, empty_region, generated_of, merge
from semantic_palette_training.models.saa import saa
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.scene_shape import SceneShape

CLASSES, HEIGHT, WIDTH = 5, 16, 32
PAPER_WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)


def editor(**changes: Any) -> LayoutEditor:
    torch.manual_seed(0)
    values: dict[str, Any] = {"latent_size": 6, "widths": (12, 8, 6), "spade_hidden": 8} | changes
    return LayoutEditor(EditorConfig(**values), SceneShape(CLASSES, HEIGHT, WIDTH)).eval()


def scenes(batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, class ids and regions."""
    draw = torch.Generator().manual_seed(1)
    z_BZ = torch.randn(batch, 6, generator=draw)
    labels_BHW = torch.randint(CLASSES, (batch, HEIGHT, WIDTH), generator=draw, dtype=torch.uint8)
    region_BHW = torch.zeros(batch, HEIGHT, WIDTH, dtype=torch.bool)
    region_BHW[:, 4:12, 8:20] = True
    return z_BZ, labels_BHW, region_BHW


@pytest.mark.parametrize(
    ("classes", "height", "width", "levels", "millions", "giga"),
    [(35, 128, 256, 6, 45.50, 258.9), (35, 1024, 2048, 9, 47.39, None), (19, 256, 256, 7, 41.19, 248.1)],
)
def test_parameters_and_operations_are_those_of_the_published_editor(
    classes: int, height: int, width: int, levels: int, millions: float, giga: float | None
) -> None:
    config = EditorConfig(widths=PAPER_WIDTHS[:levels], fusion_kernel=3)
    with torch.device("meta"), torch.no_grad():
        network = LayoutEditor(config, SceneShape(classes, height, width)).eval()
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
        if giga is None:
            return
        with FlopCounterMode(display=False) as counter:
            network(torch.randn(1, 512), torch.rand(1, classes, height, width), torch.rand(1, classes + 1))
    assert counter.get_total_flops() / 1e9 == pytest.approx(giga, rel=0.01)


def test_the_merge_is_the_formula_and_stays_a_distribution() -> None:
    draw = torch.Generator().manual_seed(2)
    generated = torch.rand(2, 4, 3, 5, generator=draw, dtype=torch.float64).softmax(dim=1)
    layout = torch.rand(2, 3, 3, 5, generator=draw, dtype=torch.float64).softmax(dim=1)
    merged = merge(generated, layout)
    for index in np.ndindex(2, 3, 3, 5):
        b, k, i, j = index
        expected = generated[b, k, i, j] + generated[b, 3, i, j] * layout[b, k, i, j]
        assert float(merged[index]) == pytest.approx(float(expected), abs=1e-15)
    torch.testing.assert_close(merged.sum(dim=1), torch.ones(2, 3, 5, dtype=torch.float64))
    assert gradcheck(merge, (generated.requires_grad_(), layout.requires_grad_()))


def test_where_the_background_wins_the_merged_layout_is_the_input() -> None:
    z, labels, region = scenes()
    layout = empty_region(one_hot(labels, CLASSES), region)
    output = editor()(z, layout, region_palette(labels, region, CLASSES))[-1]
    background_wins = output.generated.soft_BKHW.argmax(dim=1) == CLASSES
    kept = background_wins & ~region
    assert kept.any()
    assert torch.equal(output.merged_BKHW.argmax(dim=1)[kept], labels.long()[kept])


def test_the_conditional_losses_count_the_background() -> None:
    """In float64 against loops over numpy values, at every scale."""
    z, labels, region = scenes(2)
    palette = region_palette(labels, region, CLASSES).double()
    layout = empty_region(one_hot(labels, CLASSES), region).double()
    with torch.no_grad():
        outputs = editor().double()(z.double(), layout, palette)
    assert [tuple(output.merged_BKHW.shape[2:]) for output in outputs] == [(4, 8), (8, 16), (16, 32)]
    entropy = spread = 0.0
    for output in outputs:
        height, width = output.merged_BKHW.shape[2:]
        omega = (output.generated.soft_BKHW * output.generated.coverage_BHW[:, None]).numpy() / (height * width)
        assert omega.shape[1] == CLASSES + 1
        np.testing.assert_allclose(omega.sum(axis=(2, 3)), palette.numpy(), atol=1e-12)
        for b, i, j in np.ndindex(2, height, width):
            total = omega[b, :, i, j].sum()
            shares = omega[b, :, i, j] / total
            entropy += -sum(m * np.log(m) for m in shares if m > 0) / (2 * height * width)
            spread += (1 - height * width * total) ** 2 / (2 * height * width)
    computed = [loss.item() for loss in conditional_losses(generated_of(outputs))]
    assert computed == pytest.approx([entropy, spread], rel=1e-9)


def test_gradients_of_losses_reach_the_scores_of_generated_and_background() -> None:
    draw = torch.Generator().manual_seed(3)
    scores = torch.randn(2, 4, 2, 3, generator=draw, dtype=torch.float64).requires_grad_()
    palette = torch.tensor([[0.3, 0.0, 0.2, 0.5], [0.0, 0.6, 0.4, 0.0]], dtype=torch.float64)
    layout = torch.rand(2, 3, 2, 3, generator=draw, dtype=torch.float64).softmax(dim=1)

    def losses(x: Tensor) -> tuple[Tensor, ...]:
        generated = saa(x, palette)
        return (*conditional_losses([generated]), merge(generated.soft_BKHW, layout))

    assert gradcheck(losses, (scores,))


@pytest.mark.parametrize("budget", ["region", "additions"])
def test_labels_change_inside_the_mask_alone_and_to_allowed_classes(budget: str) -> None:
    z, labels, region = scenes(8)
    palette = torch.zeros(8, CLASSES + 1)
    palette[:, 1], palette[:, 3], palette[:, -1] = 0.4, 0.3, 0.3
    edited = editor(budget=budget).labels(z, labels, region.to(torch.uint8), palette)
    assert edited.dtype == torch.uint8
    assert torch.equal(edited[~region], labels[~region])
    new = edited != labels
    assert new.any()
    assert set(edited[new].tolist()) <= {1, 3}
    if budget == "region":
        assert set(edited[region].tolist()) <= {1, 3}


def test_a_forbidden_class_does_not_win_a_tie_in_an_emptied_region() -> None:
    """Where the background takes everything, every class has the same merged share."""
    network = editor(widths=(8,))
    head = network.to_mask[0]
    torch.nn.init.zeros_(head.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        head.get_parameter("bias")[-1] = 200.0
    z, labels, region = scenes(1)
    palette = torch.zeros(1, CLASSES + 1)
    palette[:, 3], palette[:, -1] = 1e-30, 1.0
    edited = network.labels(z, labels, region.to(torch.uint8), palette)
    assert set(edited[region].tolist()) == {3}


def test_in_evaluation_a_sample_does_not_depend_on_its_batch() -> None:
    network = editor()
    z, labels, region = scenes()
    layout, palette = empty_region(one_hot(labels, CLASSES), region), region_palette(labels, region, CLASSES)
    together = network(z, layout, palette)[-1].merged_BKHW
    alone = network(z[1:2], layout[1:2], palette[1:2])[-1].merged_BKHW
    torch.testing.assert_close(alone, together[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scores", ["independent", "skip"])
def test_a_fade_starts_at_the_level_below(scores: str) -> None:
    network = editor(scores=scores)
    z, labels, region = scenes()
    palette = region_palette(labels, region, CLASSES)
    # Cells of one class at the coarsest level, of which every level sees the same.
    layout = one_hot(labels[:, ::4, ::4].repeat_interleave(4, dim=1).repeat_interleave(4, dim=2), CLASSES)
    below = network(z, layout[:, :, 1::2, 1::2], palette, level=1)[-1].generated
    begun = network(z, layout, palette, level=2, fade=0.0)[-1].generated
    ended = network(z, layout, palette, level=2, fade=1.0)[-1].generated
    whole = network(z, layout, palette)[-1].generated
    # Logarithms of omega are the scores but for one number a class and sample, which SAA divides out.
    coarse = below.soft_BKHW.clamp_min(1e-30).log() + below.coverage_BHW.log()[:, None]
    upsampled = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(begun.soft_BKHW, saa(upsampled, palette).soft_BKHW, atol=1e-4, rtol=1e-4)
    assert torch.equal(ended.soft_BKHW, whole.soft_BKHW)


def test_more_sinkhorn_steps_bring_an_edit_nearer_to_its_palette() -> None:
    z, labels, region = scenes()
    layout, palette = empty_region(one_hot(labels, CLASSES), region), region_palette(labels, region, CLASSES)
    palette = palette.flip(1)  # far from what an untrained editor paints
    one, many = editor(widths=(8,)), editor(widths=(8,), sinkhorn_steps=20)
    once, often = (network(z, layout, palette)[0].generated for network in (one, many))
    # Logarithms of omega are the scores but for one number a class and sample, which SAA divides out.
    scores = once.soft_BKHW.clamp_min(1e-30).log() + once.coverage_BHW.log()[:, None]
    torch.testing.assert_close(often.soft_BKHW, saa(scores, palette, sinkhorn_steps=20).soft_BKHW, atol=1e-4, rtol=1e-4)
    first, last = ((made.soft_BKHW.mean(dim=(2, 3)) - palette).abs().sum() for made in (once, often))
    assert last < 0.3 * first


def test_every_parameter_learns() -> None:
    network = editor().train()
    z, labels, region = scenes()
    layout, palette = empty_region(one_hot(labels, CLASSES), region), region_palette(labels, region, CLASSES)
    sum(output.merged_BKHW.square().mean() for output in network(z, layout, palette)).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_resolution_that_the_levels_do_not_divide_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"editor\.generator\.widths.*12x32"):
        LayoutEditor(EditorConfig(widths=(8, 8, 8, 8)), SceneShape(CLASSES, 12, 32))
