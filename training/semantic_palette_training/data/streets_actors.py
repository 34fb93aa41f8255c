"""What moves on a street of Streets: cars, people on foot and people on bicycles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semantic_palette_training.data.streets_stage import CLASS, Canvas, Choices, Colour, Material, Plane, Point, Surface

_CARS: tuple[Colour, ...] = (
    (0.80, 0.80, 0.82),
    (0.14, 0.14, 0.16),
    (0.55, 0.57, 0.60),
    (0.62, 0.13, 0.12),
    (0.16, 0.26, 0.50),
    (0.90, 0.90, 0.88),
    (0.35, 0.36, 0.38),
    (0.20, 0.36, 0.28),
    (0.75, 0.62, 0.25),
)
_CLOTHES: tuple[Colour, ...] = (
    (0.15, 0.16, 0.22),
    (0.55, 0.18, 0.18),
    (0.22, 0.32, 0.52),
    (0.72, 0.70, 0.66),
    (0.36, 0.36, 0.38),
    (0.70, 0.55, 0.28),
    (0.25, 0.40, 0.30),
    (0.62, 0.40, 0.55),
)
_SKIN = ((0.86, 0.66, 0.55), (0.70, 0.50, 0.38), (0.45, 0.30, 0.23))
_SIGNS = ((0.72, 0.10, 0.12), (0.12, 0.30, 0.62), (0.88, 0.74, 0.15), (0.92, 0.92, 0.90), (0.10, 0.42, 0.24))
_GLASS: Colour = (0.20, 0.25, 0.30)
_RUBBER: Colour = (0.09, 0.09, 0.10)
_TAIL_LIGHT: Colour = (0.80, 0.10, 0.08)
_HEAD_LIGHT: Colour = (0.98, 0.96, 0.86)


@dataclass(frozen=True, slots=True)
class _Body:
    """The shape of a car: a box up to the waist and a cabin on it that narrows by `inset` towards the roof."""

    s: float
    z: float
    half: float
    length: float
    waist: float
    roof: float
    inset: float
    cabin: tuple[float, float]
    """Where the cabin begins and ends, in lengths from the near end."""
    colour: Colour


def car(canvas: Canvas, choices: Choices, s: float, z: float, oncoming: bool, length: float = 4.2) -> None:
    """A car with its near end at distance z, seen from behind or (`oncoming`) from the front; long ones are vans."""
    colour = choices.colour(_CARS)
    if length > 5.0:
        body = _Body(s, z, 1.15, length, 1.4, choices.between(2.5, 3.1), 0.04, (0.0, 1.0), colour)
    else:
        cabin = (0.24, 0.95) if oncoming else (0.0, 0.68)
        body = _Body(s, z, 0.9, length, 0.9, choices.between(1.4, 1.75), 0.2, cabin, colour)
    left, right, near, far = s - body.half - 0.2, s + body.half + 0.2, z - 0.2, z + length
    canvas.shadow([(left, near), (left, far), (right, far), (right, near)])
    side = s + math.copysign(body.half, -s - canvas.camera.shift(z))
    beside = abs(s + canvas.camera.shift(z)) > body.half
    if beside:
        _car_side(canvas, body, side, body.waist, body.roof, body.cabin, _GLASS)
    _car_cabin(canvas, body)
    if beside:
        _car_side(canvas, body, side, 0.25, body.waist, (0.0, 1.0), None)
    _car_end(canvas, body, _HEAD_LIGHT if oncoming else _TAIL_LIGHT)


def _car_side(
    canvas: Canvas, body: _Body, side: float, low: float, high: float, span: tuple[float, float], glass: Colour | None
) -> None:
    """The cabin's side with its window, or (without `glass`) the side of the box with two wheels."""
    slope = (canvas.camera.shift(body.z + body.length) - canvas.camera.shift(body.z)) / body.length
    offset = side + canvas.camera.shift(body.z) - slope * body.z
    inset = math.copysign(body.inset, body.s - side) if glass else 0.0

    def quad(margin: float, tint: Colour) -> None:
        bottom, top = low + margin, high - 2 * margin
        ends = body.z + span[0] * body.length + 3 * margin, body.z + span[1] * body.length - 3 * margin
        slant = 0.12 * body.length if glass and body.inset > 0.1 else 0.0
        corners: list[Point] = [(side, bottom, ends[0]), (side, bottom, ends[1] + slant / 2)]
        corners += [(side + inset, top, ends[1] - slant), (side + inset, top, ends[0])]
        canvas.polygon(corners, Surface(CLASS["car"], Material.PLAIN, tint, Plane.SIDE, offset, slope))

    quad(0.0, body.colour)
    if glass:
        quad(0.06, glass)
        return
    for part in (0.18, 0.80):
        rim = [(-0.32, 0.0), (-0.23, 0.5), (0.0, 0.68), (0.23, 0.5), (0.32, 0.0)]
        wheel = Surface(CLASS["car"], Material.PLAIN, _RUBBER, Plane.SIDE, offset, slope)
        canvas.polygon([(side, y, body.z + part * body.length + along) for along, y in rim], wheel)


def _car_cabin(canvas: Canvas, body: _Body) -> None:
    """The near end of the cabin with its window, and the bonnet in front of it where there is one."""
    z = body.z + body.cabin[0] * body.length
    shell = Surface(CLASS["car"], Material.PLAIN, body.colour, Plane.FRONT, z)
    window = Surface(CLASS["car"], Material.PLAIN, _GLASS, Plane.FRONT, z)
    top = body.half - body.inset
    canvas.taper(body.s, body.half, top, body.waist, body.roof, z, shell)
    canvas.taper(body.s, body.half - 0.1, top - 0.1, body.waist + 0.04, body.roof - 0.12, z, window)
    if z > body.z:
        left, right = body.s - body.half, body.s + body.half
        corners = [
            (left, body.waist, body.z),
            (left, body.waist, z),
            (right, body.waist, z),
            (right, body.waist, body.z),
        ]
        canvas.polygon(corners, shell)


def _car_end(canvas: Canvas, body: _Body, light: Colour) -> None:
    """The near end of the box: wheels, panel, bumper, number plate and lights."""

    def part(tint: Colour, material: Material = Material.PLAIN) -> Surface:
        return Surface(CLASS["car"], material, tint, Plane.FRONT, body.z)

    def shade(by: float) -> Colour:
        return body.colour[0] * by, body.colour[1] * by, body.colour[2] * by

    left, right, z = body.s - body.half, body.s + body.half, body.z
    for centre in (left + 0.2, right - 0.2):
        canvas.box(centre - 0.13, centre + 0.13, 0.0, 0.4, z, part(_RUBBER))
    canvas.box(left, right, 0.28, body.waist, z, part(shade(0.9)))
    canvas.box(left, right, 0.28, 0.45, z, part(shade(0.5)))
    canvas.box(body.s - 0.26, body.s + 0.26, 0.47, 0.60, z, part((0.85, 0.85, 0.78)))
    for centre in (left + 0.17, right - 0.17):
        canvas.box(centre - 0.14, centre + 0.14, body.waist - 0.26, body.waist - 0.1, z, part(light, Material.LAMP))


def pedestrian(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A person in mid-step: legs, coat, arms and head."""
    height = choices.between(1.1, 1.25) if choices.chance(0.12) else choices.between(1.58, 1.92)
    _person(canvas, choices, CLASS["pedestrian"], s, z, 0.0, height)


def bicyclist(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A rider on a bicycle, seen at an angle: two wheels, a frame and the person."""
    width = choices.between(0.2, 0.55)
    for centre in (s - width, s + width):
        wheel = Surface(CLASS["bicyclist"], Material.PLAIN, _RUBBER, Plane.FRONT, z)
        spokes = Surface(CLASS["bicyclist"], Material.PLAIN, (0.42, 0.42, 0.42), Plane.FRONT, z)
        canvas.ellipse((centre, 0.34, z), 0.08 + 0.32 * width, 0.34, wheel)
        canvas.ellipse((centre, 0.34, z), 0.05 + 0.24 * width, 0.26, spokes)
    frame = Surface(CLASS["bicyclist"], Material.PLAIN, choices.colour(_SIGNS), Plane.FRONT, z)
    bars = ((-0.1, 0.3), (-0.4, 0.9), (-0.25, 0.9), (0.7, 0.95), (0.9, 0.4), (0.6, 0.8), (0.05, 0.3))
    canvas.polygon([(s + width * along, y, z) for along, y in bars], frame)
    _person(canvas, choices, CLASS["bicyclist"], s, z, 0.42, choices.between(1.35, 1.5))


def _person(canvas: Canvas, choices: Choices, class_id: int, s: float, z: float, foot: float, height: float) -> None:
    def part(tint: Colour) -> Surface:
        return Surface(class_id, Material.PLAIN, tint, Plane.FRONT, z)

    def at(aside: float, up: float) -> Point:
        """Both in body heights, from the middle of the feet."""
        return s + aside * height, foot + up * height, z

    step = choices.between(0.01, 0.14)
    trousers, coat, skin = (part(choices.colour(colours)) for colours in (_CLOTHES, _CLOTHES, _SKIN))
    canvas.shadow_disc(s, z, 0.3)
    for side in (-1.0, 1.0):
        foot_at = side * step
        leg = [at(side * 0.01, 0.40), at(side * 0.085, 0.50), at(foot_at + 0.04, 0.0), at(foot_at - 0.03, 0.0)]
        canvas.polygon(leg, trousers)
        hand = side * (0.135 + 0.3 * step)
        arm = [at(side * 0.08, 0.80), at(side * 0.125, 0.77), at(hand + 0.02, 0.47), at(hand - 0.03, 0.45)]
        canvas.polygon(arm, coat)
    chest = [(0.085, 0.42), (0.095, 0.62), (0.125, 0.77), (0.095, 0.82), (0.03, 0.85)]
    canvas.polygon([at(right, up) for right, up in chest] + [at(-right, up) for right, up in chest[::-1]], coat)
    canvas.ellipse(at(0.0, 0.93), 0.058 * height, 0.078 * height, part((0.16, 0.12, 0.10)))
    canvas.ellipse(at(0.0, 0.905), 0.050 * height, 0.062 * height, skin)
