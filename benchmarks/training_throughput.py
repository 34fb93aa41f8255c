"""How fast does the layout GAN train? Images a second of our trainer against the published architecture run plainly.

    python benchmarks/training_throughput.py --level 3 --batch 8 --rounds 5

- published: the networks and losses of the paper's public code, written anew from facts about it and run as it runs
  them: one-hot layouts from the loader, float32, contiguous tensors, SAA and the losses as they are written, automatic
  differentiation throughout, Adam one tensor at a time.
- ours: the layout stage of this package with the same widths, level, batch and objective, in float32.
- ours bf16: the same with the networks in bfloat16; by default where the device has instructions for it.
- ours lazy: the gradient penalty every fourth step only. Not the same objective in every step; reported apart.

Every round runs one step of each in turn (four of "lazy", so that one has the penalty); a ratio is the median over
rounds of the ratio within a round, because the speed of a shared machine drifts by more than what is measured.
"""

import argparse
import itertools
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.label_space import CITYSCAPES
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.phases import Phase

NUM_CLASSES = CITYSCAPES.num_classes
LAZY = 4
VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours bf16": {"autocast": True},
    "ours lazy": {"penalty_every": LAZY},
}


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / ((x**2).mean(dim=1, keepdim=True) + 1e-8)


class Equalised(nn.Module):
    """A layer whose weight is multiplied by gain / sqrt(fan_in) when it runs."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        self.layer = layer
        self.scale = gain / math.sqrt(layer.weight[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layer.weight * self.scale
        if isinstance(self.layer, nn.Conv2d):
            return functional.conv2d(x, weight, self.layer.bias, self.layer.stride, self.layer.padding)
        return functional.linear(x, weight, self.layer.bias)


def conv(a: int, b: int, kernel: int = 3, stride: Any = 1, padding: int | None = None, **gain: float) -> Equalised:
    return Equalised(nn.Conv2d(a, b, kernel, stride, kernel // 2 if padding is None else padding), **gain)


def activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.2, inplace=True)


class PublishedGenerator(nn.Module):
    """Facts: 1.1 and 1.2 of the notes on the public code."""

    def __init__(self, latent: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first = widths[0]
        dense = Equalised(nn.Linear(latent + NUM_CLASSES, first * 32), math.sqrt(2) / 4)
        self.dense = nn.Sequential(PixelNorm(), dense)
        base = nn.Sequential(activation(), PixelNorm(), conv(first, first), activation(), PixelNorm())
        ups = [
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"),
                *(conv(a, b), activation(), PixelNorm(), conv(b, b), activation(), PixelNorm()),
            )
            for a, b in itertools.pairwise(widths)
        ]
        self.blocks = nn.ModuleList([base, *ups])
        self.to_mask = nn.ModuleList(conv(width, NUM_CLASSES, 1, gain=1.0) for width in widths)
        fusion = [nn.Sequential(conv(NUM_CLASSES, width, 3, gain=1.0), activation()) for width in widths[:-1]]
        self.fusion = nn.ModuleList(fusion)

    def forward(self, z: Tensor, palette: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(m, omega) of every level."""
        x = self.dense(torch.cat([z, palette], dim=1)).view(len(z), -1, 4, 8)
        outputs = []
        for level, block in enumerate(self.blocks):
            x = block(x)
            outputs.append(self.saa(self.to_mask[level](x), palette))
            if level < len(self.fusion):
                x = 0.5 * x + self.fusion[level](outputs[-1][0])
        return outputs

    @staticmethod
    def saa(scores: Tensor, palette: Tensor) -> tuple[Tensor, Tensor]:
        batch, classes, height, width = scores.shape
        density = torch.softmax(scores.view(batch, classes, -1), dim=2).view_as(scores)
        omega = density * palette[:, :, None, None] * (height * width)
        mask = omega + 1e-6
        return mask / mask.sum(dim=1, keepdim=True), omega


class PublishedDiscriminator(nn.Module):
    """Facts: the mirror image, 1.3."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        first = widths[0]
        down = [
            nn.Sequential(conv(b, b), activation(), conv(b, a), activation(), nn.AvgPool2d(2))
            for a, b in itertools.pairwise(widths)
        ]
        self.layers = nn.Sequential(
            *(conv(NUM_CLASSES, widths[-1], 1, gain=1.0), activation(), *reversed(down)),
            *(conv(first, first, 3, (1, 2)), activation(), conv(first, first, 4, padding=0), activation()),
            *(nn.Flatten(), Equalised(nn.Linear(first, 1))),
        )

    def forward(self, layouts: Tensor) -> Tensor:
        return self.layers(layouts).squeeze(1)


class Published:
    """One generator and one discriminator update a step (facts: 1.3), on one-hot layouts from a loader (5.4)."""

    def __init__(self, labels: np.ndarray, palettes: np.ndarray, widths: tuple[int, ...], options: Any) -> None:
        self.latent, self.batch, self.device = options.latent, options.batch, options.device
        self.generator = PublishedGenerator(options.latent, widths).to(self.device)
        self.discriminator = PublishedDiscriminator(widths).to(self.device)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
            for network in (self.generator, self.discriminator)
        ]
        layouts = [self.one_hot(torch.from_numpy(labels_HW)) for labels_HW in labels]
        data = list(zip(layouts, torch.from_numpy(palettes).float(), strict=True))
        self.loader = itertools.cycle(torch.utils.data.DataLoader(data, self.batch, shuffle=True, drop_last=True))
        offsets = torch.arange(5.0) - 2
        kernel = torch.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2))
        self.kernel = (kernel / kernel.sum()).expand(NUM_CLASSES, 1, 5, 5).contiguous().to(self.device)

    @staticmethod
    def one_hot(labels: Tensor) -> Tensor:
        return functional.one_hot(labels.long(), NUM_CLASSES).permute(2, 0, 1).float().contiguous()

    def soften(self, layouts: Tensor) -> Tensor:
        blurred = functional.conv2d(functional.pad(layouts, (2, 2, 2, 2), "reflect"), self.kernel, groups=NUM_CLASSES)
        return 0.5 * layouts + 0.5 * blurred

    def run_step(self) -> None:
        layouts, palettes = (tensor.to(self.device) for tensor in next(self.loader))
        outputs = self.generator(torch.randn(self.batch, self.latent, device=self.device), palettes)
        fake = outputs[-1][0]
        entropy = sum(-(m * torch.log(m + 1e-5)).sum(dim=1).mean() for m, _ in outputs)
        spread = sum(((omega.sum(dim=1) - 1) ** 2).mean() for _, omega in outputs)
        self.optimisers[0].zero_grad()
        (-self.discriminator(fake).mean() + entropy + spread).backward()
        self.optimisers[0].step()
        real, fake = self.soften(layouts), fake.detach()
        self.optimisers[1].zero_grad()
        loss = self.discriminator(fake).mean() - self.discriminator(real).mean()
        (loss + 10 * self.penalty(real, fake)).backward()
        self.optimisers[1].step()

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        mix = torch.rand(len(real), 1, 1, 1, device=self.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def random_scenes(count: int, height: int, width: int) -> Scenes:
    """Layouts of large random regions; their content does not matter here."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, NUM_CLASSES, 4, 8, generator=generator)
    scores = functional.interpolate(coarse, size=(height, width), mode="bilinear")
    labels = scores.argmax(dim=1).to(torch.uint8).numpy()
    images = np.zeros((*labels.shape, 3), np.uint8)
    return Scenes(labels, images, CITYSCAPES, [f"scene_{i}" for i in range(count)])


def our_trainer(scenes: Scenes, widths: tuple[int, ...], options: Any, **changes: Any) -> LayoutTrainer:
    config = LayoutTrainConfig(
        phases=(Phase(level=options.level, stable_steps=10**9, batch_size=options.batch),),
        generator=ProgressiveConfig(latent_size=options.latent, widths=widths, fusion_kernel=3),
        **changes,
    )
    palettes = fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model
    return LayoutTrainer(config, scenes, palettes, TrainContext(torch.device(options.device)))


def seconds(step: Callable[[], object], times: int, device: str) -> float:
    """Seconds a step."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def measure(options: Any) -> dict[str, object]:
    """Run all rounds and summarise them."""
    widths = tuple(options.widths)[: options.level + 1]
    scenes = random_scenes(max(64, options.batch), 4 << options.level, 8 << options.level)
    steps = {"published": Published(scenes.labels, scenes.palettes(), widths, options).run_step}
    for name in options.variants:
        steps[name] = our_trainer(scenes, widths, options, **VARIANTS[name]).run_step
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(options.rounds + 1):
        for name, step in steps.items():
            taken = seconds(step, LAZY if name == "ours lazy" else 1, options.device)
            if index:  # The first round warms up.
                times[name].append(taken)
    return {
        "level": options.level,
        "size": f"{4 << options.level}x{8 << options.level}",
        "widths": widths,
        "classes": NUM_CLASSES,
        "batch": options.batch,
        "machine": {
            "processor": processor_name(),
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "rounds": options.rounds,
        "images_per_second": {name: round(options.batch / statistics.median(t), 3) for name, t in times.items()},
        "ratio_to_published": {name: _ratios(times["published"], t) for name, t in times.items()},
        "seconds_a_step": {name: [round(value, 3) for value in t] for name, t in times.items()},
    }


def _ratios(published: list[float], ours: list[float]) -> dict[str, float]:
    """Images a second relative to the published architecture in the same round: median and extremes over rounds."""
    ratios = [a / b for a, b in zip(published, ours, strict=True)]
    summary = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {key: round(value, 3) for key, value in summary.items()}


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    return device == "cuda" or (bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "bf16" in _processor_flags())


def _processor_flags() -> str:
    return next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")


def processor_name() -> str:
    """The processor as the kernel names it, with the number of cores."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def main() -> None:
    """Measure, print JSON, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=3, help="resolution, 4x8 times 2^level")
    parser.add_argument("--widths", type=int, nargs="+", default=(512, 512, 512, 512, 256, 128))
    parser.add_argument("--latent", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=None, help="beside published")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if options.variants is None:
        options.variants = [name for name in VARIANTS if name != "ours bf16" or has_bfloat16(options.device)]
    text = json.dumps(measure(options), indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
