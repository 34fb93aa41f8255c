"""The kinds of street and the hours of the day that Streets has, as ranges to draw from."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]
Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """The ranges of one kind of street; lengths in metres, densities in things per 10 m of street and side."""

    weight: float
    """Share of the scenes."""
    lanes: Range
    """Lanes of one direction (the whole part counts)."""
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


_DOWNTOWN = Kind(
    weight=0.27,
    lanes=(1, 2.9),
    pavement=(2, 5),
    verge=(0, 0),
    setback=(0, 1),
    houses=(0.85, 1),
    storeys=(4, 12),
    trees=(0, 0.3),
    traffic=(0.1, 0.9),
    parked=(0, 1),
    people=(0.2, 2),
    riders=(0, 0.4),
)
_AVENUE = Kind(
    weight=0.22,
    lanes=(1, 3.9),
    pavement=(2, 4),
    verge=(0, 3),
    setback=(0, 6),
    houses=(0.5, 1),
    storeys=(3, 9),
    trees=(0.3, 1.1),
    traffic=(0.1, 1),
    parked=(0, 0.8),
    people=(0, 1),
    riders=(0, 0.3),
)
_RESIDENTIAL = Kind(
    weight=0.24,
    lanes=(1, 1.9),
    pavement=(1, 3),
    verge=(0, 4),
    setback=(2, 9),
    houses=(0.5, 1),
    storeys=(2, 3.9),
    trees=(0.2, 0.9),
    traffic=(0, 0.5),
    parked=(0, 1.2),
    people=(0, 0.5),
    riders=(0, 0.3),
)
_PARK = Kind(
    weight=0.13,
    lanes=(1, 1.9),
    pavement=(2, 6),
    verge=(2, 9),
    setback=(6, 20),
    houses=(0, 0.3),
    storeys=(2, 5),
    trees=(0.8, 2),
    traffic=(0, 0.2),
    parked=(0, 0.2),
    people=(0.2, 1.2),
    riders=(0, 0.6),
)
_COUNTRY = Kind(
    weight=0.14,
    lanes=(1, 3.9),
    pavement=(0, 1),
    verge=(2, 8),
    setback=(10, 30),
    houses=(0, 0.2),
    storeys=(2, 3),
    trees=(0, 0.7),
    traffic=(0, 0.7),
    parked=(0, 0),
    people=(0, 0.1),
    riders=(0, 0.15),
)
KINDS = (_DOWNTOWN, _AVENUE, _RESIDENTIAL, _PARK, _COUNTRY)


@dataclass(frozen=True, slots=True)
class Hour:
    """The ranges of one light; fields as in `Light`, haze as a multiple of clear air's."""

    weight: float
    sun: Rgb
    ambient: Rgb
    zenith: Rgb
    horizon: Rgb
    sun_s: Range
    clouds: Range
    haze: float
    lamps: float


HOURS = (
    Hour(  # a clear day
        weight=0.45,
        sun=(1.0, 0.94, 0.82),
        ambient=(0.36, 0.43, 0.54),
        zenith=(0.12, 0.28, 0.62),
        horizon=(0.55, 0.70, 0.86),
        sun_s=(0.3, 1.0),
        clouds=(0.0, 0.7),
        haze=1.0,
        lamps=0.0,
    ),
    Hour(  # overcast
        weight=0.20,
        sun=(0.0, 0.0, 0.0),
        ambient=(0.68, 0.71, 0.75),
        zenith=(0.55, 0.60, 0.67),
        horizon=(0.78, 0.80, 0.82),
        sun_s=(0.3, 1.0),
        clouds=(1.0, 1.0),
        haze=2.5,
        lamps=0.1,
    ),
    Hour(  # the sun is low
        weight=0.17,
        sun=(1.1, 0.66, 0.32),
        ambient=(0.30, 0.29, 0.36),
        zenith=(0.16, 0.25, 0.48),
        horizon=(0.98, 0.66, 0.40),
        sun_s=(1.2, 2.4),
        clouds=(0.0, 0.7),
        haze=1.0,
        lamps=0.2,
    ),
    Hour(  # dusk
        weight=0.10,
        sun=(0.0, 0.0, 0.0),
        ambient=(0.20, 0.20, 0.28),
        zenith=(0.07, 0.09, 0.22),
        horizon=(0.55, 0.30, 0.26),
        sun_s=(1.2, 2.4),
        clouds=(0.0, 0.7),
        haze=1.0,
        lamps=0.8,
    ),
    Hour(  # night
        weight=0.08,
        sun=(0.0, 0.0, 0.0),
        ambient=(0.075, 0.080, 0.110),
        zenith=(0.010, 0.014, 0.035),
        horizon=(0.070, 0.060, 0.080),
        sun_s=(1.2, 2.4),
        clouds=(0.0, 0.7),
        haze=1.0,
        lamps=1.0,
    ),
)
