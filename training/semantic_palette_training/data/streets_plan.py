"""What a Streets scene is before anything is painted: its light, its street and the camera, drawn at random.

The kind of street and the hour of the day set ranges, and every number is drawn anew within them, camera included, so
that the class shares of the scenes vary widely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from semantic_palette_training.data.streets_kinds import HOURS, KINDS, Hour, Kind, Rgb
from semantic_palette_training.data.streets_stage import Camera, Choices

PARKING = 2.0
"""Metres of road beside the lanes that a parked car takes."""


@dataclass(frozen=True, slots=True)
class Light:
    """Sun, sky and air of a scene; colours are linear light."""

    sun: Rgb
    """Colour and strength of direct sun; 0 when overcast or at night."""
    ambient: Rgb
    zenith: Rgb
    horizon: Rgb
    sun_s: float
    """Metres sideways that a metre of height throws its shadow to the left; negative to the right."""
    clouds: float
    haze: float
    """Visibility is halved about every 1 / haze metres."""
    lamps: float
    """How much of the lamps and lit windows shows, 0 by day to 1 by night."""
    seed: int
    """Varies clouds and grain."""


@dataclass(frozen=True, slots=True)
class Street:
    """One drawn street: its kind's ranges settled to numbers. Pairs are (left, right)."""

    kind: Kind
    lane: float
    """Width of a lane."""
    lanes: tuple[int, int]
    edges: tuple[float, float]
    """Edges of the carriageway, s."""
    pavement: tuple[float, float]
    verge: tuple[float, float]
    setback: tuple[float, float]
    crossing: float
    """Distance at which another street crosses; beyond the view when there is none."""
    paved_plots: bool

    def parking(self, side: int) -> bool:
        """Whether there is room to park between the lanes and the edge of the carriageway."""
        return abs(self.edges[side]) - self.lanes[side] * self.lane >= PARKING

    def kerb(self, side: int, beyond: float = 0.0) -> float:
        """s of a point `beyond` metres outside the edge of the carriageway; side 0 is left, 1 right."""
        return self.edges[side] + (beyond if side else -beyond)

    def face(self, side: int) -> float:
        """s of the house fronts."""
        return self.kerb(side, self.pavement[side] + self.verge[side] + self.setback[side])


def draw_light(choices: Choices) -> Light:
    """Draw the hour of the day and its weather."""
    hour = _pick(choices, HOURS)
    haze = hour.haze * choices.between(0.0003, 0.002) * (8.0 if choices.chance(0.08) else 1.0)  # sometimes fog
    side = 1.0 if choices.chance(0.5) else -1.0
    return Light(
        sun=hour.sun,
        ambient=hour.ambient,
        zenith=hour.zenith,
        horizon=hour.horizon,
        sun_s=side * choices.between(*hour.sun_s),
        clouds=choices.between(*hour.clouds),
        haze=haze,
        lamps=hour.lamps,
        seed=choices.integer(2**31),
    )


def draw_street(choices: Choices) -> Street:
    """Draw the kind of street and settle its ranges."""
    kind = _pick(choices, KINDS)
    lane = choices.between(2.8, 3.7)
    shoulder = choices.between(PARKING, 2.6) if choices.chance(0.6) else choices.between(0.2, 0.9)
    lanes = int(choices.between(*kind.lanes)), int(choices.between(*kind.lanes))
    return Street(
        kind=kind,
        lane=lane,
        lanes=lanes,
        edges=(-lane * lanes[0] - shoulder, lane * lanes[1] + shoulder),
        pavement=(choices.between(*kind.pavement), choices.between(*kind.pavement)),
        verge=(choices.between(*kind.verge), choices.between(*kind.verge)),
        setback=(choices.between(*kind.setback), choices.between(*kind.setback)),
        crossing=choices.between(12.0, 70.0) if choices.chance(0.35) else 1e4,
        paved_plots=choices.chance(0.8) if kind.storeys[1] > 8 else choices.chance(0.1),
    )


def draw_camera(choices: Choices, street: Street, aspect: float) -> Camera:
    """Draw where the camera stands (in a car or on foot) and looks; `aspect` is width / height."""
    if choices.chance(0.15):  # someone on foot
        lateral, height = street.kerb(choices.integer(2), choices.between(0.0, 1.5)), choices.between(1.5, 1.8)
    else:
        lateral = street.lane * (choices.between(0.3, 0.7) + choices.integer(street.lanes[1]))
        height = choices.between(2.4, 5.0) if choices.chance(0.15) else choices.between(1.2, 2.1)
    return Camera(
        focal=choices.between(0.75, 1.5),
        height=height,
        lateral=lateral,
        vanishing_u=aspect * choices.between(0.32, 0.68),
        horizon_v=choices.between(0.34, 0.60),
        bend=choices.between(-0.0016, 0.0016) if choices.chance(0.5) else 0.0,
    )


_Weighted = TypeVar("_Weighted", Kind, Hour)


def _pick(choices: Choices, options: tuple[_Weighted, ...]) -> _Weighted:
    """One of the options, as often as its weight says; the weights sum to 1."""
    place = choices.between(0.0, 1.0)
    for option in options[:-1]:
        if place < option.weight:
            return option
        place -= option.weight
    return options[-1]
