"""The progressive schedule: which phase, how far faded in, how many images."""

import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.trainers.phases import Phase, check_phases, images_seen, position, total_steps

PHASES = (
    Phase(level=0, stable_steps=3, batch_size=8),
    Phase(level=1, fade_steps=2, stable_steps=2, batch_size=4),
)


def test_the_schedule_is_a_function_of_the_step() -> None:
    assert total_steps(PHASES) == 7
    positions = [position(PHASES, step) for step in range(8)]
    assert [phase.level for phase, _ in positions] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert [fade for _, fade in positions] == [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_images_are_counted_a_phase_at_its_batch() -> None:
    assert [images_seen(PHASES, step) for step in range(9)] == [0, 8, 16, 24, 28, 32, 36, 40, 40]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((), r"editor\.phases"),
        ((Phase(level=0),), "end at 1"),
        ((Phase(level=1), Phase(level=0)), "ascending"),
        ((Phase(level=-1), Phase(level=1)), "ascending"),
        ((Phase(level=1, batch_size=0),), r"editor\.phases\[0\]\.batch_size"),
        ((Phase(level=0), Phase(level=1, fade_steps=-1)), r"editor\.phases\[1\]\.fade_steps"),
    ],
)
def test_phases_that_do_not_fit_are_named(phases: tuple[Phase, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_phases("editor", phases, 2)
