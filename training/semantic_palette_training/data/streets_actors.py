"""What moves on a street of Streets: cars, people on foot and people on bicycles."""

from __future__ import annotations

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


def car(canvas: Canvas, choices: Choices, s: float, z: float, oncoming: bool, length: float = 4.2) -> None:
    """A car with its near end at distance z, seen from behind or (`oncoming`) from the front; long ones are vans."""
    tall = length > 5.0
    half, roof, waist = (1.15, choices.between(2.5, 3.1), 1.4) if tall else (0.9, choices.between(1.4, 1.75), 0.9)
    colour = choices.colour(_CARS)
    canvas.shadow([(s - half - 0.2, z - 0.2), (s - half - 0.2, z + length), (s + half + 0.2, z + length)])
    canvas.shadow([(s - half - 0.2, z - 0.2), (s + half + 0.2, z - 0.2), (s + half + 0.2, z + length)])
    if abs(s + canvas.camera.shift(z)) > half:
        _car_side(canvas, colour, s, z, length, half, waist, roof)
    _car_end(canvas, colour, s, z, half, waist, roof, _HEAD_LIGHT if oncoming else _TAIL_LIGHT)


def _car_side(
    canvas: Canvas, colour: Colour, s: float, z: float, length: float, half: float, waist: float, roof: float
) -> None:
    side = s - half if s + canvas.camera.shift(z) > 0 else s + half
    x_near, x_far = side + canvas.camera.shift(z), side + canvas.camera.shift(z + length)
    slope = (x_far - x_near) / length

    def panel(tint: Colour) -> Surface:
        return Surface(CLASS["car"], Material.PLAIN, tint, Plane.SIDE, x_near - slope * z, slope)

    def quad(low: float, high: float, bottom: tuple[float, float], top: tuple[float, float], tint: Colour) -> None:
        corners = ((bottom[0], low), (bottom[1], low), (top[1], high), (top[0], high))
        canvas.polygon([(side, y, z + part * length) for part, y in corners], panel(tint))

    cabin = (0.02, 0.98) if roof > 2.0 else (0.10, 0.72)
    quad(waist, roof, (0.0, cabin[1] + 0.1 if roof < 2.0 else 1.0), cabin, colour)
    quad(waist + 0.05, roof - 0.12, (cabin[0] + 0.06, cabin[1]), (cabin[0] + 0.1, cabin[1] - 0.06), _GLASS)
    quad(0.25, waist, (0.0, 1.0), (0.0, 1.0), colour)
    for part in (0.18, 0.80):
        rim = [(-0.32, 0.0), (-0.23, 0.5), (0.0, 0.68), (0.23, 0.5), (0.32, 0.0)]
        canvas.polygon([(side, y, z + part * length + along) for along, y in rim], panel(_RUBBER))


def _car_end(
    canvas: Canvas, colour: Colour, s: float, z: float, half: float, waist: float, roof: float, light: Colour
) -> None:
    def part(tint: Colour, material: Material = Material.PLAIN) -> Surface:
        return Surface(CLASS["car"], material, tint, Plane.FRONT, z)

    shade = (colour[0] * 0.9, colour[1] * 0.9, colour[2] * 0.9)
    inset = 0.04 if roof > 2.0 else 0.2
    for centre in (s - half + 0.2, s + half - 0.2):
        canvas.box(centre - 0.13, centre + 0.13, 0.0, 0.4, z, part(_RUBBER))
    canvas.taper(s, half - 0.02, half - inset, waist, roof, z, part(colour))
    canvas.taper(s, half - 0.12, half - inset - 0.1, waist + 0.04, roof - 0.12, z, part(_GLASS))
    canvas.box(s - half, s + half, 0.28, waist, z, part(shade))
    canvas.box(s - half, s + half, 0.28, 0.45, z, part((colour[0] * 0.5, colour[1] * 0.5, colour[2] * 0.5)))
    canvas.box(s - 0.26, s + 0.26, 0.47, 0.60, z, part((0.85, 0.85, 0.78)))
    for centre in (s - half + 0.17, s + half - 0.17):
        canvas.box(centre - 0.14, centre + 0.14, waist - 0.26, waist - 0.1, z, part(light, Material.LAMP))


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
