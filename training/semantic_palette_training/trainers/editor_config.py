"""How the partial editor is trained: phases, what it is given to edit, objective."""

from dataclasses import dataclass, field
from typing import Literal

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_at_least
from semantic_palette_training.models.editor import EditorConfig, base_resolution
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checks import check_critic_training
from semantic_palette_training.trainers.edit_batches import EditTask
from semantic_palette_training.trainers.phases import Phase, check_phases


@dataclass(kw_only=True, slots=True)
class EditorTrainConfig:
    """How the partial editor is trained. The defaults are the paper's, but for the length of the average."""

    phases: tuple[Phase, ...]
    """Levels in ascending order; the last trains the level that is exported."""
    generator: EditorConfig = field(default_factory=EditorConfig)
    """The editor; its budget says which of the two kinds it is."""
    task: EditTask = field(default_factory=EditTask)
    """What it is given to edit."""
    palette_source: Literal["model", "data"] = "model"
    """Aim at palettes drawn from the palette model, or at those of other scenes. Only read where nothing is cropped: a
    crop's palette is its own."""
    novelty: Literal["overlap", "inverse_difference"] = "overlap"
    """overlap: eq. 14. inverse_difference: what the released flags of the public code select, with a weight of 50."""
    novelty_weight: float = 1.0
    """Weight of the novelty loss (the paper: 1). Only read where nothing is cropped: in an emptied region there is
    nothing to copy."""
    merged_entropy_weight: float = 0.0
    """Weight of the merged layouts' entropy. The paper has no such term; its public code has it with weight 1, against
    background that is left in an emptied region."""
    batch_deviation: bool = False
    """Give the discriminator the deviation over the batch; see `ProgressiveConfig`."""
    learning_rate: float = 1e-3
    """Adam's, for both networks."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty."""
    penalty_every: int = 1
    """Steps between gradient penalties; its weight is scaled by as much (the paper: 1)."""
    soften_sigma: float = 1.0
    """Blur of real layouts in pixels at the last level; scaled with the resolution, at least 0.5."""
    soften_keep: float = 0.5
    """Weight of the one-hot layout in a softened one."""
    average_decay: float = 0.999
    """Decay of the weight average, which is what is exported."""
    autocast: bool = False
    """Run the networks in bfloat16; activations, losses and penalties stay float32."""
    seed: int = 0
    """Seed of initialisation, noise, crops and batches."""

    @property
    def num_levels(self) -> int:
        """How many resolutions there are."""
        return len(self.generator.widths)

    def stride(self, level: int) -> int:
        """Pixels of a scene that one of a level stands for, along each axis."""
        return int(2 ** (self.num_levels - 1 - level))

    def sigma(self, level: int) -> float:
        """Blur of real layouts at a level, in its pixels."""
        return max(0.5, self.soften_sigma / self.stride(level))

    def weights(self, phase: Phase) -> dict[str, float]:
        """Weight of each term of the editor's loss but the adversarial one, which has 1."""
        return {
            "entropy": phase.conditional_weight,
            "spread": phase.conditional_weight,
            "merged_entropy": self.merged_entropy_weight,
            "novelty": self.novelty_weight if self.generator.budget == "additions" else 0.0,
        }

    def discriminator(self, shape: SceneShape) -> ProgressiveConfig:
        """The discriminator, which mirrors the editor's widths."""
        height, width = base_resolution(self.generator, shape)
        return ProgressiveConfig(
            widths=self.generator.widths, base_height=height, base_width=width, batch_deviation=self.batch_deviation
        )

    def check(self, shape: SceneShape) -> None:
        """Raise an InvalidInputError that names the field when values are out of range or do not go together."""
        self.generator.check(shape)
        height, width = base_resolution(self.generator, shape)
        if width % height:
            allowed = (
                f"a coarsest level whose width is a multiple of its height, for the discriminator; not {height}x{width}"
            )
            raise InvalidInputError("editor.generator.widths", self.generator.widths, allowed)
        check_phases("editor", self.phases, self.num_levels)
        check_critic_training("editor", self)
        for name in ("novelty_weight", "merged_entropy_weight"):
            require_at_least(f"editor.{name}", getattr(self, name), 0)
        self._check_task()

    def _check_task(self) -> None:
        lowest, highest = self.task.crop_sides
        if not 0 < lowest <= highest <= 1:
            raise InvalidInputError("editor.task.crop_sides", self.task.crop_sides, "0 < lowest <= highest <= 1")
        if not 0 <= self.task.smallest_addition < 1:
            raise InvalidInputError("editor.task.smallest_addition", self.task.smallest_addition, "0 to 1")
        if (self.task.crop == "none") != (self.generator.budget == "additions"):
            allowed = "none" if self.generator.budget == "additions" else "rectangle or band"
            raise InvalidInputError(
                "editor.task.crop", self.task.crop, f"{allowed}, for the editor's budget is {self.generator.budget}"
            )
