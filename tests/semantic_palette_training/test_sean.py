"""SEAN: region means, per-class dense layers, painted styles, the blend, size."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette_training.models import sean
from semantic_palette_training.models.sean import (
    SeanConfig,
    SeanGenerator,
    StyledNorm,
    StyleModulation,
    region_means,
    style_maps,
)
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.scene_shape import SceneShape

B, K, S, C, H, W = 2, 3, 5, 4, 6, 7


@pytest.fixture
def layout() -> torch.Tensor:
    """One-hot; class 2 is missing from the second sample."""
    labels = torch.randint(0, K, (B, H, W), generator=torch.Generator().manual_seed(0))
    labels[1] %= 2
    return one_hot(labels, K).double()


@pytest.fixture
def soft() -> torch.Tensor:
    return torch.softmax(
        torch.randn(B, K, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1
    )


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_region_means_are_means_over_the_pixels_of_a_class(layout: torch.Tensor) -> None:
    features = normal(B, S, H, W)
    styles = region_means(features, layout)
    for b, k in np.ndindex(B, K):
        pixels = features[b][:, layout[b, k] == 1]
        expected = pixels.mean(dim=1) if pixels.shape[1] else torch.zeros(S, dtype=torch.float64)
        torch.testing.assert_close(styles[b, k], expected)
    assert not styles[1, 2].any()


def test_region_means_of_a_soft_layout_are_weighted(soft: torch.Tensor) -> None:
    features = normal(B, S, H, W).requires_grad_()
    expected = np.zeros((B, K, S))
    for b, k, s in np.ndindex(B, K, S):
        weights = soft[b, k].numpy()
        expected[b, k, s] = (weights * features.detach()[b, s].numpy()).sum() / weights.sum()
    np.testing.assert_allclose(region_means(features, soft).detach().numpy(), expected)
    assert torch.autograd.gradcheck(region_means, (features, soft.requires_grad_()))


@pytest.mark.parametrize("name", ["layout", "soft"])
def test_style_maps_are_the_convolution_of_the_painted_styles(name: str, request: pytest.FixtureRequest) -> None:
    """SEAN, fig. 3: paint every region with its style, then convolve."""
    shares = request.getfixturevalue(name)
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(S, 2 * C, 3, padding=1).double()
    styles = normal(B, K, S)
    painted = torch.zeros(B, S, H, W, dtype=torch.float64)
    for k in range(K):
        painted += styles[:, k, :, None, None] * shares[:, k : k + 1]
    torch.testing.assert_close(style_maps(shares, styles, convolution), convolution(painted))


def test_every_class_has_its_own_dense_layer(layout: torch.Tensor) -> None:
    torch.manual_seed(0)
    modulation = StyleModulation(C, K, S, 6).double()
    torch.nn.init.normal_(modulation.bias)
    styles = normal(B, K, S)
    made = modulation.block_styles(styles)
    for b, k in np.ndindex(B, K):
        weight, bias = modulation.weight[k].detach().numpy(), modulation.bias[k, 0].detach().numpy()
        expected = np.maximum(styles[b, k].numpy() @ weight + bias, 0)
        np.testing.assert_allclose(made[b, k].detach().numpy(), expected)


def test_the_norm_is_equations_two_and_three(layout: torch.Tensor) -> None:
    """(x - mean) / deviation, times the blended gamma, plus the blended beta."""
    torch.manual_seed(0)
    norm = StyledNorm(C, K, S, 6).double()
    modulation = norm.modulation
    torch.nn.init.normal_(modulation.blend)
    x, styles = normal(B, C, H, W), normal(B, K, S)
    painted = torch.einsum("bks,bkhw->bshw", modulation.block_styles(styles), layout)
    of_styles = modulation.maps(painted)
    hidden = torch.relu(modulation.layout.shared(layout))
    of_layout = modulation.layout.maps(hidden)
    share_gamma, share_beta = 1 / (1 + torch.exp(-modulation.blend.detach()))
    gamma = share_gamma * of_styles[:, :C] + (1 - share_gamma) * of_layout[:, :C]
    beta = share_beta * of_styles[:, C:] + (1 - share_beta) * of_layout[:, C:]
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    deviation = ((x**2).mean(dim=(0, 2, 3), keepdim=True) - mean**2 + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, layout, styles), gamma * (x - mean) / deviation + beta)


def test_gradients_of_the_norm(soft: torch.Tensor) -> None:
    torch.manual_seed(0)
    norm = StyledNorm(2, K, 3, 2).double()
    # Away from the kinks of ReLU, at which a finite difference has no meaning.
    torch.nn.init.constant_(norm.modulation.bias, 4.0)
    torch.nn.init.constant_(norm.modulation.layout.shared.bias, 4.0)
    x, styles = normal(B, 2, 3, 2).requires_grad_(), (0.1 * normal(B, K, 3)).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x, soft[:, :, :3, :2].clone().requires_grad_(), styles))


@torch.no_grad()
def test_changing_one_style_changes_its_region_and_leaves_far_ones_alone() -> None:
    torch.manual_seed(0)
    config = SeanConfig(width=2, hidden=4, style_size=6, encoder_width=2, doublings=1)
    network = SeanGenerator(config, SceneShape(3, 32, 64)).eval()
    labels = torch.zeros(1, 32, 64, dtype=torch.uint8)
    labels[:, :, 60:] = 1
    styles = torch.randn(1, 3, 6)
    image = network(labels, styles)
    changed, absent = styles.clone(), styles.clone()
    changed[0, 1] += 1.0
    absent[0, 2] += 1.0
    difference = (network(labels, changed) - image).abs().sum(dim=(0, 1, 2))
    assert float(difference[60:].min()) > 1e-4
    assert float(difference[:4].max()) < 1e-6
    assert torch.equal(network(labels, absent), image)


@torch.no_grad()
def test_styles_are_those_of_the_regions_they_are_taken_from() -> None:
    """What a class looks like elsewhere, or what other classes look like far away, is no part of its style."""
    torch.manual_seed(0)
    network = SeanGenerator(SeanConfig(width=2, hidden=4, style_size=6, encoder_width=2), SceneShape(3, 32, 64)).eval()
    labels = torch.zeros(2, 32, 64, dtype=torch.long)
    labels[0, :, 40:] = 1
    layout = one_hot(labels, 3)
    styles = network.encode(torch.rand(2, 3, 32, 64) * 2 - 1, layout)
    assert styles.shape == (2, 3, 6)
    assert float(styles.abs().max()) <= 1.0
    assert not styles[:, 2].any()
    assert not styles[1, 1].any()
    assert styles[0, 1].any()


def test_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """266.9 M parameters, 1.57 M of them the encoder's, and 684.9 GFLOP at 256x256 when the styles are painted and
    convolved as published; convolving the styles before painting them takes half of it."""
    config = SeanConfig(doublings=5)
    with torch.device("meta"):
        network = SeanGenerator(config, SceneShape(19, 256, 256)).eval()
        ours = _operations(network)
        monkeypatch.setattr(sean, "style_maps", _painted_and_convolved)
        published = _operations(network)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(266.9, rel=0.005)
    assert sum(p.numel() for p in network.encoder.parameters()) / 1e6 == pytest.approx(1.57, rel=0.005)
    assert network.blocks[0].norm_0.modulation.weight.numel() * 15 / 1e6 == pytest.approx(74.9, rel=0.005)
    assert published == pytest.approx(684.9, rel=0.01)
    assert ours < 0.51 * published


def _operations(network: SeanGenerator) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        layout = torch.zeros(1, 19, 256, 256)
        network.from_layout(layout, network.encode(torch.zeros(1, 3, 256, 256), layout))
    return counter.get_total_flops() / 1e9


def _painted_and_convolved(layout: torch.Tensor, styles: torch.Tensor, convolution: torch.nn.Conv2d) -> torch.Tensor:
    return convolution(torch.einsum("bks,bkhw->bshw", styles, layout))
