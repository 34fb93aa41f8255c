"""Spectral normalisation against singular values and the gradient of its formula."""

import pytest
import torch

from semantic_palette_training.models.spectral_norm import spectral_norm


def convolution() -> torch.nn.Conv2d:
    torch.manual_seed(0)
    return spectral_norm(torch.nn.Conv2d(3, 5, 3)).double()


def original(conv: torch.nn.Conv2d) -> torch.nn.Parameter:
    return conv.parametrizations.weight.original


def test_passes_in_training_find_the_largest_singular_value() -> None:
    conv = convolution()
    for _ in range(100):
        _ = conv.weight
    largest = torch.linalg.svdvals(original(conv).detach().flatten(1))[0]
    torch.testing.assert_close(conv.weight.detach(), original(conv).detach() / largest)


def test_evaluation_changes_nothing() -> None:
    conv = convolution().eval()
    original(conv).data += 0.1
    state = {name: tensor.clone() for name, tensor in conv.state_dict().items()}
    first, second = conv.weight, conv.weight
    assert torch.equal(first, second)
    assert all(torch.equal(tensor, state[name]) for name, tensor in conv.state_dict().items())


def test_gradient_is_that_of_dividing_by_the_norm() -> None:
    """With singular vectors u and v held fixed: (G - <G, W / s> u v^T) / s."""
    conv = convolution().eval()
    norm, weight = conv.parametrizations.weight[0], original(conv)
    incoming = torch.randn(weight.shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(conv.weight, weight, incoming)
    u, v, matrix = norm.left, norm.right, weight.detach().flatten(1)
    sigma = u @ matrix @ v
    flat = incoming.flatten(1)
    expected = (flat - (flat * matrix / sigma).sum() * torch.outer(u, v)) / sigma
    torch.testing.assert_close(gradient.flatten(1), expected)


def test_an_earlier_passs_gradient_survives_a_later_pass() -> None:
    conv = convolution()
    first = conv(torch.randn(1, 3, 4, 4, dtype=torch.float64)).sum()
    conv(torch.randn(1, 3, 4, 4, dtype=torch.float64))
    first.backward()
    assert original(conv).grad is not None


def test_autocast_does_not_reach_the_iteration() -> None:
    plain, cast = convolution().float(), convolution().float()
    expected = plain.weight
    with torch.autocast("cpu", torch.bfloat16):
        weight = cast.weight
        assert cast(torch.randn(1, 3, 4, 4)).dtype == torch.bfloat16
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, expected, atol=0, rtol=0)


def test_it_builds_on_the_meta_device() -> None:
    with torch.device("meta"):
        conv = spectral_norm(torch.nn.Conv2d(3, 5, 3, stride=2))
        assert conv(torch.zeros(1, 3, 8, 8)).shape == (1, 5, 3, 3)
    assert conv.weight.is_meta


@pytest.mark.parametrize("seed", range(3))
def test_a_fresh_estimate_is_close(seed: int) -> None:
    torch.manual_seed(seed)
    conv = spectral_norm(torch.nn.Conv2d(4, 16, 3)).eval()
    norm = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), ord=2)
    assert float(norm) == pytest.approx(1.0, abs=0.05)
