"""Winograd convolutions against direct ones in float64: values, first and second gradients, and when they are used."""

import pytest
import torch
from torch.nn import functional

from semantic_palette_training.models import winograd
from semantic_palette_training.models.layers import EqualisedConv2d
from semantic_palette_training.models.winograd import pays, winograd_conv


def tensors(batch: int, channels: int, out: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, height, width, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(out, channels, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    return x.requires_grad_(), weight.requires_grad_()


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=5e-5 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("size", [(1, 3, 5, 4, 4), (3, 5, 2, 8, 16), (2, 4, 4, 12, 8)])
@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 2**24])
def test_values_and_gradients_are_those_of_a_direct_convolution(
    size: tuple[int, int, int, int, int], chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", chunk_bytes)
    x, weight = tensors(*size)
    exact_x, exact_weight = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    y, exact_y = winograd_conv(x, weight), functional.conv2d(exact_x, exact_weight, padding=1)
    close(y, exact_y)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(y, (x, weight), upstream)
    expected = torch.autograd.grad(exact_y, (exact_x, exact_weight), upstream.double())
    for gradient, exact in zip(gradients, expected, strict=True):
        close(gradient, exact)


def test_the_gradient_of_a_gradient_penalty_is_that_of_direct_convolutions() -> None:
    x, weight = tensors(2, 4, 3, 8, 8)
    results = []
    for dtype, convolve in ((torch.float32, winograd_conv), (torch.float64, None)):
        inputs, kernel = (tensor.detach().to(dtype).requires_grad_() for tensor in (x, weight))
        y = functional.conv2d(inputs, kernel, padding=1) if convolve is None else convolve(inputs, kernel * 1.0)
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), inputs, create_graph=True)
        results.append(torch.autograd.grad(gradient.square().sum(), (inputs, kernel)))
    for actual, exact in zip(*results, strict=True):
        close(actual, exact)


def test_a_gradient_that_nobody_asked_for_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = tensors(1, 2, 2, 4, 4)
    monkeypatch.setattr(winograd, "_correlate", lambda *_: pytest.fail("the weight's gradient was computed"))
    torch.autograd.grad(winograd_conv(x, weight * 1.0).sum(), x)


def test_layers_use_it_in_float32_training_of_many_channels_on_a_cpu_alone() -> None:
    x, weight = tensors(1, 96, 96, 32, 32)
    assert pays(x, weight)
    assert not pays(x.double(), weight)
    assert not pays(x[:, :, :30], weight)
    assert not pays(x[:, :, :4], weight)
    assert not pays(x, weight[:48])
    assert not pays(x, weight.detach())
    assert not pays(x, weight[:, :, :1, :1])
    with torch.no_grad():
        assert not pays(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(x, weight)
    layer = EqualisedConv2d(96, 96, 3)
    torch.nn.init.normal_(layer.bias)
    trained = layer(x)
    with torch.no_grad():
        close(trained, layer(x).double())
    assert "Add" in type(trained.grad_fn).__name__
