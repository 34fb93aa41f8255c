"""What a Streets scene is before anything is painted: its light, its street and the camera, drawn at random.

A scene is one of five kinds of street. The kind sets ranges (house heights, trees, traffic, people) and every number is
drawn anew within them, camera included, so that the class shares of the scenes vary widely.
"""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette_training.data.streets_stage import Camera, Choices

Range = tuple[float, float]
PARKING = 2.0
"""Metres of road beside the lanes that a parked car takes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The ranges of one kind of street; lengths in metres, densities in things per 10 m of street and side."""

    weight: float
    lanes: Range
    pavement: Range
    verge: Range
    setback: Range
    houses: Range
    """Probability that a plot is built on."""
    storeys: Range
    trees: Range
    traffic: Range
    parked: Range
    people: Range
    riders: Range


_KINDS = (
    Kind(0.27, (1, 2.9), (2, 5), (0, 0), (0, 1), (0.85, 1), (4, 12), (0, 0.3), (0.1, 0.9), (0, 1), (0.2, 2), (0, 0.4)),
    Kind(0.22, (1, 3.9), (2, 4), (0, 3), (0, 6), (0.5, 1), (3, 9), (0.3, 1.1), (0.1, 1), (0, 0.8), (0, 1), (0, 0.3)),
    Kind(
        0.24, (1, 1.9), (1, 3), (0, 4), (2, 9), (0.5, 1), (2, 3.9), (0.2, 0.9), (0, 0.5), (0, 1.2), (0, 0.5), (0, 0.3)
    ),
    Kind(0.13, (1, 1.9), (2, 6), (2, 9), (6, 20), (0, 0.3), (2, 5), (0.8, 2), (0, 0.2), (0, 0.2), (0.2, 1.2), (0, 0.6)),
    Kind(0.14, (1, 3.9), (0, 1), (2, 8), (10, 30), (0, 0.2), (2, 3), (0, 0.7), (0, 0.7), (0, 0), (0, 0.1), (0, 0.15)),
)


@dataclass(frozen=True, slots=True)
class Light:
    """Sun, sky and air of a scene; colours are linear light."""

    sun: tuple[float, float, float]
    """Colour and strength of direct sun; 0 when overcast or at night."""
    ambient: tuple[float, float, float]
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    sun_s: float
    """Metres sideways that a metre of height throws its shadow to the left; negative to the right."""
    clouds: float
    haze: float
    """Visibility is halved about every 1 / haze metres."""
    lamps: float
    """How much of the lamps and lit windows shows, 0 by day to 1 by night."""


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
    side = 1.0 if choices.chance(0.5) else -1.0
    clouds, haze = choices.between(0.0, 0.7), choices.between(0.0003, 0.002)
    if choices.chance(0.08):  # fog
        haze *= 8.0
    low = side * choices.between(1.2, 2.4)
    high = side * choices.between(0.3, 1.0)
    time = choices.between(0.0, 1.0)
    if time < 0.45:  # a clear day
        return Light(
            (1.0, 0.94, 0.82), (0.36, 0.43, 0.54), (0.12, 0.28, 0.62), (0.55, 0.70, 0.86), high, clouds, haze, 0
        )
    if time < 0.65:  # overcast
        return Light((0, 0, 0), (0.68, 0.71, 0.75), (0.55, 0.60, 0.67), (0.78, 0.80, 0.82), high, 1.0, 2.5 * haze, 0.1)
    if time < 0.82:  # the sun is low
        return Light(
            (1.1, 0.66, 0.32), (0.30, 0.29, 0.36), (0.16, 0.25, 0.48), (0.98, 0.66, 0.40), low, clouds, haze, 0.2
        )
    if time < 0.92:  # dusk
        return Light((0, 0, 0), (0.20, 0.20, 0.28), (0.07, 0.09, 0.22), (0.55, 0.30, 0.26), low, clouds, haze, 0.8)
    return Light((0, 0, 0), (0.075, 0.08, 0.11), (0.010, 0.014, 0.035), (0.07, 0.06, 0.08), low, clouds, haze, 1.0)


def draw_street(choices: Choices) -> Street:
    pick, kind = choices.between(0.0, 1.0), _KINDS[-1]
    for candidate in _KINDS[:-1]:
        if pick < candidate.weight:
            kind = candidate
            break
        pick -= candidate.weight
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
