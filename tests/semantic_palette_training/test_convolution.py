"""Convolutions with gradients of their own against torch's, to the second derivative, on every path."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import flop_registry

from semantic_palette_training.models import winograd
from semantic_palette_training.models.convolution import convolution
from semantic_palette_training.models.progressive import LayoutDiscriminator, ProgressiveConfig
from semantic_palette_training.scene_shape import SceneShape


def tensors(
    dtype: torch.dtype, *, channels: int = 3, out: int = 4, size: int = 8, kernel: int = 3
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, channels, size, size), (out, channels, kernel, kernel), (out,)]
    return [torch.randn(*shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


GEOMETRIES = [(3, (1, 1), 1), (3, (1, 2), 1), (1, (1, 1), 0), (4, (1, 1), 0)]


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
def test_first_and_second_gradients_pass_gradcheck(kernel: int, stride: tuple[int, int], padding: int) -> None:
    x, weight, bias = tensors(torch.float64, channels=2, out=2, size=4, kernel=kernel)

    def convolve(*values: torch.Tensor) -> torch.Tensor:
        # Times 1: a weight is always scaled, and the check of a leaf would not see what is skipped.
        return convolution(values[0], values[1] * 1.0, values[2], stride, padding)

    torch.testing.assert_close(convolve(x, weight, bias), functional.conv2d(x, weight, bias, stride, padding))
    assert torch.autograd.gradcheck(convolve, (x, weight, bias))
    assert torch.autograd.gradgradcheck(convolve, (x, weight, bias))


def test_the_winograd_path_has_the_gradients_of_a_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_LEAST_CHANNELS", 2)
    monkeypatch.setattr(winograd, "_LEAST_TILES", 1)
    results = []
    for dtype in (torch.float32, torch.float64):
        x, weight, bias = tensors(dtype)
        assert winograd.pays(x, weight) == (dtype == torch.float32)
        y = convolution(x, weight * 1.0, bias, (1, 1), 1)
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        results.append((y, *torch.autograd.grad(gradient.square().sum(), (x, weight, bias))))
    for actual, exact in zip(*results, strict=True):
        torch.testing.assert_close(actual.double(), exact, rtol=0, atol=5e-5 * float(exact.detach().abs().max()))


def test_under_autocast_it_is_torchs_convolution_in_bfloat16() -> None:
    x, weight, bias = tensors(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours, torchs = (f(x, weight * 1.0, bias, (1, 1), 1) for f in (convolution, functional.conv2d))
    assert ours.dtype == torchs.dtype == torch.bfloat16
    assert torch.equal(ours, torchs)
    for mine, other in zip(
        *(torch.autograd.grad(y.float().sum(), (x, weight, bias)) for y in (ours, torchs)), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-1)


def test_a_gradient_that_nobody_asked_for_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_LEAST_CHANNELS", 2)
    monkeypatch.setattr(winograd, "_LEAST_TILES", 1)
    monkeypatch.setattr(winograd, "correlate", lambda *_: pytest.fail("the weight's gradient was computed"))
    x, weight, bias = tensors(torch.float32)
    torch.autograd.grad(convolution(x, weight * 1.0, bias, (1, 1), 1).sum(), x)


@pytest.mark.parametrize("fast", [True, False])
def test_a_torch_without_the_private_call_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    def penalty() -> list[torch.Tensor]:
        x, weight, bias = tensors(torch.float32, channels=8, out=8, size=16)
        y = convolution(x, weight * 1.0, bias, (1, 1), 1)
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        return [gradient, *torch.autograd.grad(gradient.square().sum(), (x, weight, bias))]

    if fast:
        monkeypatch.setattr(winograd, "_LEAST_CHANNELS", 2)
        monkeypatch.setattr(winograd, "_LEAST_TILES", 1)
    with_it = penalty()
    monkeypatch.delattr(torch._C, "_will_engine_execute_node")
    for ours, expected in zip(penalty(), with_it, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)


class FlopCounter(torch.utils._python_dispatch.TorchDispatchMode):
    """torch's own counts, without the hooks on modules that gradients inside a loss do not allow."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        self.total += 0 if count is None else count(*args, **(kwargs or {}), out_val=result)
        return result


def test_a_gradient_penalty_takes_four_passes_through_the_critic() -> None:
    """Forward, back to the layout, and from there to the weights and on: no pass over zeros. Torch's own takes six."""
    with torch.device("meta"):
        critic = LayoutDiscriminator(ProgressiveConfig(widths=(32, 32, 32)), SceneShape(32, 16, 32))
        layout = torch.zeros(1, 32, 16, 32, requires_grad=True)
    with torch.no_grad(), FlopCounter() as forward:
        critic(layout, 2)
    with FlopCounter() as penalty:
        (gradient,) = torch.autograd.grad(critic(layout, 2).sum(), layout, create_graph=True)
        gradient.square().sum().backward(inputs=list(critic.parameters()))
    assert penalty.total == pytest.approx(4 * forward.total, rel=0.05)
