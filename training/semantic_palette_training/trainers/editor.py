"""Trains the partial editor: progressive levels, WGAN-GP on merged layouts, the conditional objective on generated ones
(section 4.2), and novelty where it adds to whole layouts (section 5.4, Appendix D).

Legend: B batch, K classes, E = K + 1 classes with the background last, H and W pixels.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import soften
from semantic_palette_training.losses.conditional import conditional_losses
from semantic_palette_training.losses.merge import merged_entropy_loss
from semantic_palette_training.losses.novelty import inverse_difference_loss, novelty_loss
from semantic_palette_training.losses.wgan import gradient_penalty
from semantic_palette_training.models.editor import EditorOutput, LayoutEditor, generated_of
from semantic_palette_training.models.progressive import LayoutDiscriminator
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.calibration import calibrated
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.critic import judge_fakes, judge_reals
from semantic_palette_training.trainers.edit_batches import EditBatch, EditDraws, edit_batch
from semantic_palette_training.trainers.edit_sheet import SHEET_ROWS, edit_sheet
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.ema import ExponentialAverage
from semantic_palette_training.trainers.export_state import export_state
from semantic_palette_training.trainers.metrics import MetricSum, hard_kl
from semantic_palette_training.trainers.palette_pool import palette_pool
from semantic_palette_training.trainers.phases import Phase, images_seen, position, total_steps
from semantic_palette_training.trainers.randomness import step_generator
from semantic_palette_training.trainers.scene_store import SceneStore

__all__ = ["EditorTrainConfig", "EditorTrainer"]


@dataclass(frozen=True, slots=True)
class _Edited:
    """What the editor made of a shard, as the discriminator sees it."""

    shard: Shard
    batch: EditBatch
    merged_BKHW: Tensor


class EditorTrainer:
    """The editor stage. One step updates the editor, then the discriminator on the same merged layouts.

    As in the layout stage, the discriminator's pass over generated layouts serves both updates. Batch statistics are
    those of one pass, where a batch is accumulated over several.

    Args:
        config: how to train.
        train: real layouts at the last level's resolution.
        validation: scenes that the sample sheet edits.
        palettes: palettes to aim at are drawn from it.
        context: where to train.

    Raises:
        InvalidInputError: the config does not fit the data, or its values do not go together.
    """

    name = "editor"

    def __init__(
        self,
        config: EditorTrainConfig,
        train: Scenes,
        validation: Scenes,
        palettes: PaletteModel,
        context: TrainContext,
    ) -> None:
        self.shape = SceneShape(train.label_space.num_classes, *train.labels.shape[1:])
        config.check(self.shape)
        self.config, self.context, self.seed = config, context, config.seed
        self.label_space = train.label_space
        torch.manual_seed(config.seed)
        self.generator = context.place(LayoutEditor(config.generator, self.shape))
        self.discriminator = context.place(LayoutDiscriminator(config.discriminator(self.shape), self.shape))
        self.average = ExponentialAverage(self.generator, config.average_decay)
        self.optimisers = [
            context.adam(network, config.learning_rate, config.betas)
            for network in (self.generator, self.discriminator)
        ]
        self.store = SceneStore(train, context.device, images=False)
        self.sheet_store = SceneStore(validation, context.device, images=False)
        self.targets_MK = palette_pool(config.palette_source, config.seed, train, palettes, context.device)
        self.total_steps = total_steps(config.phases)
        self.step_index = 0

    @property
    def images_seen(self) -> int:
        """Real layouts that the steps so far have taken, over all processes."""
        return images_seen(self.config.phases, self.step_index)

    def run_step(self) -> dict[str, float | Tensor]:
        """One update of the editor and one of the discriminator."""
        phase, fade = position(self.config.phases, self.step_index)
        metrics = MetricSum()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        shards = self.context.shards(phase.batch_size)
        edited = [
            self._edit(shard, batch, phase, fade, metrics) for shard, batch in self._batches(self.step_index, shards)
        ]
        self._update(0, self.generator)
        for made in edited:
            self._judge(made, phase, metrics)
        self._update(1, self.discriminator)
        self.average.update(self.generator, self.step_index)
        self.step_index += 1
        return metrics.values

    def _edit(self, shard: Shard, batch: EditBatch, phase: Phase, fade: float, metrics: MetricSum) -> _Edited:
        """Edit a shard; leave the editor's gradients, and the discriminator's of its scores of the shard."""
        with self.context.autocast(self.config.autocast):
            outputs = self.generator(batch.z_BZ, batch.layout_BKHW, batch.palette_BE, phase.level, fade)
        terms = self._terms(batch, outputs)
        merged_BKHW = outputs[-1].merged_BKHW
        score, gradient_BKHW = judge_fakes(self._scores, merged_BKHW, shard.weight)
        weights = self.config.weights(phase)
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        torch.autograd.backward([merged_BKHW, shard.weight * loss], [gradient_BKHW, torch.ones_like(loss)])
        kl = hard_kl(outputs[-1].generated.soft_BKHW.detach(), batch.palette_BE)
        metrics.add(shard.weight, adversarial=-score, critic=score, level=float(phase.level), kl=kl, **terms)
        return _Edited(shard, batch, merged_BKHW.detach())

    def _terms(self, batch: EditBatch, outputs: Sequence[EditorOutput]) -> dict[str, Tensor]:
        """Losses of the editor beside the adversarial one, by name."""
        last = outputs[-1]
        entropy, spread = conditional_losses(generated_of(outputs))
        terms = {"entropy": entropy, "spread": spread}
        if self.config.merged_entropy_weight > 0:
            terms["merged_entropy"] = merged_entropy_loss([output.merged_BKHW for output in outputs])
        if self.config.generator.budget == "additions" and self.config.novelty_weight > 0:
            if self.config.novelty == "overlap":
                terms["novelty"] = novelty_loss(last.generated.soft_BKHW, last.merged_BKHW, batch.layout_BKHW)
            else:
                terms["novelty"] = inverse_difference_loss(last.merged_BKHW, batch.layout_BKHW)
        return terms

    def _judge(self, edited: _Edited, phase: Phase, metrics: MetricSum) -> None:
        """Add the discriminator's gradients of real layouts and of the penalty."""
        weight, labels_BHW = edited.shard.weight, edited.batch.labels_BHW
        real_BKHW = soften(
            labels_BHW, self.shape.num_classes, self.config.sigma(phase.level), self.config.soften_keep
        ).contiguous(memory_format=torch.channels_last)
        metrics.add(weight, critic=-judge_reals(self._scores, real_BKHW, weight))
        if (self.step_index + 1) % self.config.penalty_every == 0:
            with self.context.autocast(self.config.autocast):
                penalty = gradient_penalty(self._scores, real_BKHW, edited.merged_BKHW, edited.batch.penalty_B)
            scale = weight * self.config.penalty_weight * self.config.penalty_every
            (scale * penalty).backward()  # type: ignore[no-untyped-call]
            metrics.add(weight, penalty=penalty)

    def _scores(self, layout_BKHW: Tensor) -> Tensor:
        """The discriminator's scores [B] as it is in this step."""
        phase, fade = position(self.config.phases, self.step_index)
        with self.context.autocast(self.config.autocast):
            scores_B: Tensor = self.discriminator(layout_BKHW, phase.level, fade)
        return scores_B

    def _update(self, index: int, network: torch.nn.Module) -> None:
        self.context.sum_gradients(network.parameters())
        self.optimisers[index].step()

    def _batches(self, step: int, shards: Sequence[Shard]) -> Iterator[tuple[Shard, EditBatch]]:
        """What is edited in a step, a shard at a time; steps after the last go on with the last phase."""
        phase, _ = position(self.config.phases, step)
        size = phase.batch_size
        chosen_B = torch.from_numpy(batch_indices(self.seed, len(self.store), size, step))
        draws = EditDraws.of(step_generator(self.seed, self.name, step), size, self.config.generator.latent_size)
        for shard in shards:
            labels_BHW = self.store.labels(chosen_B[shard.rows], self.config.stride(phase.level))
            yield shard, edit_batch(self.config.task, labels_BHW, draws.of_rows(shard.rows), self.targets_MK)

    def state_dict(self) -> dict[str, Any]:
        """Networks, average, optimisers and step."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"step_index": self.step_index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`'s result."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step_index = int(state["step_index"])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average.average,
            "generator_optimiser": self.optimisers[0],
            "discriminator_optimiser": self.optimisers[1],
        }

    @torch.no_grad()
    def sample_sheet(self) -> NDArray[np.uint8]:
        """Rows of validation layouts, what is emptied, what the averaged editor generates, and both merged."""
        phase, fade = position(self.config.phases, self.step_index)
        picked = torch.linspace(0, len(self.sheet_store) - 1, SHEET_ROWS).long()
        stride = self.config.stride(phase.level)
        numbers = step_generator(self.seed, "editor sheet", 0)
        draws = EditDraws.of(numbers, len(picked), self.config.generator.latent_size)
        batch = edit_batch(self.config.task, self.sheet_store.labels(picked, stride), draws, self.targets_MK)
        outputs = self.average.average(batch.z_BZ, batch.layout_BKHW, batch.palette_BE, phase.level, fade)
        return edit_sheet(batch, outputs[-1], self.label_space, stride)

    def calibrated_average(self) -> LayoutEditor:
        """The averaged editor with the batch statistics of its own features, over batches that follow the last step."""

        shards = dataclasses.replace(self.context, rank=0, world_size=1).shards(self.config.phases[-1].batch_size)

        def pass_of(network: LayoutEditor, number: int) -> None:
            for _, batch in self._batches(self.total_steps + number, shards):
                network(batch.z_BZ, batch.layout_BKHW, batch.palette_BE)

        return calibrated(self.average.average, pass_of)

    def export_states(self) -> dict[str, dict[str, Any]]:
        """The averaged editor and what rebuilds it, as kind `editor`; calibrated once training is finished."""
        finished = self.step_index >= self.total_steps
        network = self.calibrated_average() if finished else self.average.average
        progress = (self.step_index, self.total_steps)
        state = export_state(self.config.generator, network, self.label_space, self.shape, *progress)
        return {"editor": state}
