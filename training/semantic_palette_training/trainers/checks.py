"""Ranges of what several stages' configs have in common. All errors are InvalidInputErrors that name the full key."""

from typing import Protocol

from semantic_palette_training.config import (
    require_above,
    require_at_least,
    require_decay,
    require_within,
)


class TrainConfig(Protocol):
    """What every stage with a generator of its own has."""

    learning_rate: float
    betas: tuple[float, float]
    soften_sigma: float
    soften_keep: float
    average_decay: float


class CriticTrainConfig(TrainConfig, Protocol):
    """What stages with a WGAN-GP critic have beside it."""

    penalty_weight: float
    penalty_every: int


def check_training(stage: str, config: TrainConfig) -> None:
    """Raise an InvalidInputError when optimisers, average or soft layouts have values out of range."""
    require_above(f"{stage}.learning_rate", config.learning_rate, 0)
    for index, beta in enumerate(config.betas):
        require_decay(f"{stage}.betas[{index}]", beta)
    require_decay(f"{stage}.average_decay", config.average_decay)
    require_above(f"{stage}.soften_sigma", config.soften_sigma, 0)
    require_within(f"{stage}.soften_keep", config.soften_keep, 0.5, 1)


def check_critic_training(stage: str, config: CriticTrainConfig) -> None:
    """The same for a stage with a gradient penalty."""
    check_training(stage, config)
    require_at_least(f"{stage}.penalty_weight", config.penalty_weight, 0)
    require_at_least(f"{stage}.penalty_every", config.penalty_every, 1)
