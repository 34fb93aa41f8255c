"""Winograd convolutions against direct ones in float64, and when they are used."""

import pytest
import torch

from semantic_palette_training.models import winograd


def tensors(batch: int, channels: int, out: int, height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Maps, kernels and a gradient with respect to the result, channels last."""
    generator = torch.Generator().manual_seed(0)
    sizes = (batch, channels, height, width), (out, channels, 3, 3), (batch, out, height, width)
    return tuple(torch.randn(*size, generator=generator).to(memory_format=torch.channels_last) for size in sizes)


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=5e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("size", [(1, 3, 5, 4, 4), (3, 5, 2, 8, 16), (2, 4, 4, 12, 8)])
@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 2**24])
def test_the_three_operations_are_those_of_a_direct_convolution(
    size: tuple[int, int, int, int, int], chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", chunk_bytes)
    x, weight, gradient = tensors(*size)
    exact_x, exact_weight = (tensor.double().requires_grad_() for tensor in (x, weight))
    exact = torch.nn.functional.conv2d(exact_x, exact_weight, padding=1)
    x_gradient, weight_gradient = torch.autograd.grad(exact, (exact_x, exact_weight), gradient.double())
    close(winograd.convolve(x, weight), exact.detach())
    close(winograd.convolve(gradient, weight, transposed=True), x_gradient)
    close(winograd.correlate(x, gradient), weight_gradient)


def test_results_are_channels_last() -> None:
    x, weight, gradient = tensors(2, 3, 5, 8, 8)
    for result in (winograd.convolve(x, weight), winograd.correlate(x, gradient)):
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_it_pays_for_large_float32_maps_of_many_channels_on_a_cpu() -> None:
    x, weight, _ = tensors(1, 96, 96, 32, 32)
    assert winograd.pays(x, weight)
    assert not winograd.pays(x.double(), weight)
    assert not winograd.pays(x.bfloat16(), weight)
    assert not winograd.pays(x.to("meta"), weight)
    assert not winograd.pays(x[:, :, :30], weight)
    assert not winograd.pays(x[:, :, :4], weight)
    assert not winograd.pays(x, weight[:48])
    assert not winograd.pays(x, weight[:, :, :1, :1])
