"""How the layout generator is trained: phases, objective, and which variant of the paper."""

from dataclasses import dataclass, field
from typing import Literal

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_above
from semantic_palette_training.losses.conditional import Conditional
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checks import check_critic_training
from semantic_palette_training.trainers.phases import Phase, check_phases


@dataclass(kw_only=True, slots=True)
class LayoutTrainConfig:
    """How the layout generator is trained. The defaults are the paper's, but for the length of the average."""

    phases: tuple[Phase, ...]
    """Levels in ascending order; the last trains the level that is exported."""
    generator: ProgressiveConfig = field(default_factory=ProgressiveConfig)
    """Both networks."""
    conditional: Conditional = "saa_losses"
    """saa_losses (section 3.2): entropy and spread of SAA. matching: direct matching of class shares (baseline 1,
    appendix B). none: the discriminator alone says how layouts should be (baseline 2, SB-GAN, PGAN-CGAN)."""
    multi_scale: bool = True
    """Take the conditional objective at every level, or at the active one alone (Table 4)."""
    real: Literal["soft", "hard"] = "soft"
    """Show the discriminator softened real layouts (the paper) or one-hot ones (SB-GAN)."""
    fake: Literal["soft", "gumbel"] = "soft"
    """Show it generated layouts as they are, or Gumbel-softmax samples of them (SB-GAN)."""
    gumbel_temperature: float = 0.1
    """Temperature of the Gumbel-softmax; the paper gives none, its public code 0.1."""
    palette_source: Literal["model", "data"] = "model"
    """Ask for palettes drawn from the palette model, or for those of real layouts (Table 4)."""
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
    """Decay of the weight average, which is what is exported; 0 for the last weights, as in the paper's code."""
    autocast: bool = False
    """Run the networks in bfloat16; activations, losses and penalties stay float32."""
    seed: int = 0
    """Seed of initialisation, noise, palettes and batches."""

    def sigma(self, level: int) -> float:
        """Blur of real layouts at a level, in its pixels."""
        return max(0.5, self.soften_sigma * 2.0 ** (level - self.generator.num_levels + 1))

    def check(self, shape: SceneShape) -> None:
        """Raise an InvalidInputError that names the field when values are out of range or do not go together."""
        self.generator.check(shape)
        check_phases("layout", self.phases, self.generator.num_levels)
        check_critic_training("layout", self)
        require_above("layout.gumbel_temperature", self.gumbel_temperature, 0)
        self._check_objective()

    def _check_objective(self) -> None:
        conditioning = self.generator.conditioning
        if self.conditional == "saa_losses" and conditioning != "saa":
            allowed = f"matching or none, for a generator of conditioning {conditioning} has no SAA"
            raise InvalidInputError("layout.conditional", self.conditional, allowed)
        if self.conditional == "matching" and conditioning == "none":
            allowed = "none, for the generator is not told what to match"
            raise InvalidInputError("layout.conditional", self.conditional, allowed)
