"""The things that stand on a street of the data set Streets, each painted on a canvas as a few polygons."""

from __future__ import annotations

from semantic_palette.label_space import STREETS
from semantic_palette_training.data.streets_stage import Canvas, Choices, Colour, Material, Plane, Point, Surface

CLASS = {name: STREETS.id_of(name) for name in STREETS.names}

_FACADES = ((0.62, 0.42, 0.35), (0.78, 0.70, 0.57), (0.66, 0.66, 0.66), (0.88, 0.85, 0.80), (0.74, 0.60, 0.42))
_FACADES += ((0.50, 0.36, 0.31), (0.55, 0.62, 0.68), (0.83, 0.76, 0.70), (0.42, 0.45, 0.50))
_ROOFS = ((0.52, 0.30, 0.25), (0.38, 0.37, 0.38), (0.45, 0.33, 0.28))
_LEAVES = ((0.30, 0.42, 0.18), (0.24, 0.37, 0.17), (0.38, 0.46, 0.20), (0.33, 0.40, 0.24), (0.55, 0.43, 0.18))
_BARK: Colour = (0.30, 0.25, 0.20)
_CARS = ((0.80, 0.80, 0.82), (0.14, 0.14, 0.16), (0.55, 0.57, 0.60), (0.62, 0.13, 0.12), (0.16, 0.26, 0.50))
_CARS += ((0.90, 0.90, 0.88), (0.35, 0.36, 0.38), (0.20, 0.36, 0.28), (0.75, 0.62, 0.25))
_CLOTHES = ((0.15, 0.16, 0.22), (0.55, 0.18, 0.18), (0.22, 0.32, 0.52), (0.72, 0.70, 0.66), (0.36, 0.36, 0.38))
_CLOTHES += ((0.70, 0.55, 0.28), (0.25, 0.40, 0.30), (0.62, 0.40, 0.55))
_SKIN = ((0.86, 0.66, 0.55), (0.70, 0.50, 0.38), (0.45, 0.30, 0.23))
_SIGNS = ((0.72, 0.10, 0.12), (0.12, 0.30, 0.62), (0.88, 0.74, 0.15), (0.92, 0.92, 0.90), (0.10, 0.42, 0.24))
_METAL: Colour = (0.36, 0.38, 0.40)
_GLASS: Colour = (0.20, 0.25, 0.30)
_RUBBER: Colour = (0.09, 0.09, 0.10)
_TAIL_LIGHT: Colour = (0.80, 0.10, 0.08)
_HEAD_LIGHT: Colour = (0.98, 0.96, 0.86)


def building(
    canvas: Canvas, choices: Choices, face_s: float, near: float, far: float, height: float, sun_s: float
) -> None:
    """A block whose wall at `face_s` looks on the street from z `near` to `far`; some have a gable roof."""
    outward = 1.0 if face_s > 0 else -1.0
    far_s, near_s = face_s, face_s
    back_s = face_s + outward * choices.between(8.0, 16.0)
    colour, seed = choices.colour(_FACADES, 0.08), choices.integer(2**31)
    gabled = choices.chance(0.6) and height < 11.0
    x_near, x_far = near_s + canvas.camera.shift(near), far_s + canvas.camera.shift(far)
    slope = (x_far - x_near) / (far - near)
    wall = Surface(CLASS["building"], Material.FACADE, colour, Plane.SIDE, x_near - slope * near, slope, seed)
    front = Surface(CLASS["building"], Material.FACADE, colour, Plane.FRONT, near, 0.0, seed)
    if sun_s * outward > 0:
        reach = face_s - height * sun_s
        canvas.shadow([(face_s, near), (face_s, far), (reach, far + 0.3 * height), (reach, near + 0.3 * height)])
    if gabled:
        ridge: Point = ((face_s + back_s) / 2, height * 1.35, near)
        tiles = Surface(CLASS["building"], Material.PLAIN, choices.colour(_ROOFS), Plane.FRONT, near)
        canvas.polygon([(face_s, height, near), (face_s, height, far), (ridge[0], ridge[1], far), ridge], tiles)
        canvas.polygon([(face_s, height, near), ridge, (back_s, height, near)], front)
    canvas.polygon([(near_s, 0, near), (far_s, 0, far), (far_s, height, far), (near_s, height, near)], wall)
    canvas.polygon([(near_s, 0, near), (near_s, height, near), (back_s, height, near), (back_s, 0, near)], front)


def backdrop(canvas: Canvas, choices: Choices, z: float, kind: str, height: float, span: float) -> None:
    """What closes the view at distance z: a skyline (`building`) or a line of trees (`tree`), up to `span` aside."""
    step = height * (2.0 if kind == "tree" else 1.4)
    material = Material.FOLIAGE if kind == "tree" else Material.FACADE
    colour = choices.colour(_LEAVES if kind == "tree" else _FACADES)
    left = -span
    while left < span:
        right, top = left + step * choices.between(0.6, 1.4), height * choices.between(0.45, 1.2)
        tint = (colour[0] + choices.between(-0.03, 0.03), colour[1], colour[2])
        surface = Surface(CLASS[kind], material, tint, Plane.FRONT, z, seed=choices.integer(2**31))
        if kind == "tree":
            canvas.ellipse(((left + right) / 2, top * 0.3, z), (right - left) * 0.8, top * 0.7, surface)
            canvas.polygon([(left, 0, z), (left, top * 0.5, z), (right, top * 0.5, z), (right, 0, z)], surface)
        else:
            canvas.polygon([(left, 0, z), (left, top, z), (right, top, z), (right, 0, z)], surface)
        left = right


def tree(canvas: Canvas, choices: Choices, s: float, z: float, height: float, sun_s: float) -> None:
    """A trunk and a crown of a few overlapping lumps of leaves."""
    radius = height * choices.between(0.22, 0.36)
    trunk = Surface(CLASS["tree"], Material.PLAIN, _BARK, Plane.FRONT, z)
    half, middle = 0.018 * height + 0.05, height - radius
    _shadow_disc(canvas, s - sun_s * middle * 0.7, z + 0.2 * middle, radius)
    canvas.polygon(
        [(s - half, 0, z), (s - 0.6 * half, middle, z), (s + 0.6 * half, middle, z), (s + half, 0, z)], trunk
    )
    colour = choices.colour(_LEAVES)
    for _ in range(7):
        lump = radius * choices.between(0.45, 0.8)
        at: Point = (s + radius * choices.between(-0.6, 0.6), middle + radius * choices.between(-0.55, 0.5), z)
        tint = (colour[0] + choices.between(-0.03, 0.03), colour[1] + choices.between(-0.03, 0.03), colour[2])
        leaves = Surface(CLASS["tree"], Material.FOLIAGE, tint, Plane.FRONT, z, seed=choices.integer(2**31))
        canvas.ellipse(at, lump, lump * choices.between(0.7, 1.0), leaves)


def lamp_post(canvas: Canvas, s: float, z: float, height: float, reach: float) -> None:
    """A post with an arm of `reach` metres (its sign is its direction) and a lamp at the end."""
    metal = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    lamp = Surface(CLASS["pole"], Material.LAMP, _HEAD_LIGHT, Plane.FRONT, z)
    _box(canvas, s - 0.07, s + 0.07, 0.0, height, z, metal)
    end = s + reach
    canvas.polygon([(s, height, z), (end, height + 0.4, z), (end, height + 0.25, z), (s, height - 0.15, z)], metal)
    _box(canvas, end - 0.3, end + 0.3, height + 0.15, height + 0.35, z, lamp)


def sign(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A pole with a traffic sign: round, triangular or rectangular, on a post or (larger) beside the road."""
    size, middle = choices.between(0.35, 0.8), choices.between(2.0, 3.2)
    post = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    colour = choices.colour(_SIGNS)
    plate = Surface(CLASS["sign"], Material.PLAIN, colour, Plane.FRONT, z)
    inside = Surface(CLASS["sign"], Material.PLAIN, (0.93, 0.93, 0.92), Plane.FRONT, z)
    _box(canvas, s - 0.05, s + 0.05, 0.0, middle, z, post)
    shape = choices.integer(3)
    for scale, surface in ((1.0, plate), (0.62, inside)):
        reach = size * scale
        if shape == 0:
            canvas.ellipse((s, middle, z), reach, reach, surface)
        elif shape == 1:
            canvas.polygon(
                [(s - reach, middle - 0.7 * reach, z), (s, middle + reach, z), (s + reach, middle - 0.7 * reach, z)],
                surface,
            )
        elif scale == 1.0:
            _box(canvas, s - 1.3 * reach, s + 1.3 * reach, middle - reach, middle + reach, z, surface)


def traffic_light(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A pole with a black box of three lamps, one of them lit."""
    post = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    case = Surface(CLASS["sign"], Material.PLAIN, (0.10, 0.11, 0.10), Plane.FRONT, z)
    _box(canvas, s - 0.06, s + 0.06, 0.0, 3.4, z, post)
    _box(canvas, s - 0.2, s + 0.2, 2.5, 3.5, z, case)
    y, colour = ((3.3, (0.9, 0.1, 0.08)), (2.7, (0.15, 0.85, 0.4)))[choices.integer(2)]
    canvas.ellipse((s, y, z), 0.12, 0.12, Surface(CLASS["sign"], Material.LAMP, colour, Plane.FRONT, z))


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
        _box(canvas, centre - 0.13, centre + 0.13, 0.0, 0.4, z, part(_RUBBER))
    _taper(canvas, s, half - 0.02, half - inset, waist, roof, z, part(colour))
    _taper(canvas, s, half - 0.12, half - inset - 0.1, waist + 0.04, roof - 0.12, z, part(_GLASS))
    _box(canvas, s - half, s + half, 0.28, waist, z, part(shade))
    _box(canvas, s - half, s + half, 0.28, 0.45, z, part((colour[0] * 0.5, colour[1] * 0.5, colour[2] * 0.5)))
    _box(canvas, s - 0.26, s + 0.26, 0.47, 0.60, z, part((0.85, 0.85, 0.78)))
    for centre in (s - half + 0.17, s + half - 0.17):
        _box(canvas, centre - 0.14, centre + 0.14, waist - 0.26, waist - 0.1, z, part(light, Material.LAMP))


def pedestrian(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A person in mid-step: legs, coat, arms and head."""
    height = choices.between(1.1, 1.25) if choices.chance(0.12) else choices.between(1.58, 1.92)
    _person(canvas, choices, CLASS["pedestrian"], s, z, 0.0, height)


def bicyclist(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A rider on a bicycle, seen at an angle: two wheels, a frame and the person."""
    width = choices.between(0.25, 0.75)
    for centre in (s - width, s + width):
        wheel = Surface(CLASS["bicyclist"], Material.PLAIN, _RUBBER, Plane.FRONT, z)
        spokes = Surface(CLASS["bicyclist"], Material.PLAIN, (0.42, 0.42, 0.42), Plane.FRONT, z)
        canvas.ellipse((centre, 0.34, z), 0.08 + 0.32 * width, 0.34, wheel)
        canvas.ellipse((centre, 0.34, z), 0.05 + 0.24 * width, 0.26, spokes)
    frame = Surface(CLASS["bicyclist"], Material.PLAIN, choices.colour(_SIGNS), Plane.FRONT, z)
    canvas.polygon([(s - width, 0.3, z), (s - 0.3 * width, 0.9, z), (s + 0.7 * width, 0.95, z), (s, 0.3, z)], frame)
    _person(canvas, choices, CLASS["bicyclist"], s, z, 0.42, choices.between(1.35, 1.5))


def _person(canvas: Canvas, choices: Choices, class_id: int, s: float, z: float, foot: float, height: float) -> None:
    def part(tint: Colour) -> Surface:
        return Surface(class_id, Material.PLAIN, tint, Plane.FRONT, z)

    def up(share: float) -> float:
        return foot + share * height

    step, wide = choices.between(0.02, 0.16) * height, 0.125 * height
    trousers, coat = part(choices.colour(_CLOTHES)), part(choices.colour(_CLOTHES))
    _shadow_disc(canvas, s, z, 0.3)
    for end in (-step, step):
        legs = [(s - 0.07, up(0.5), z), (s + 0.07, up(0.5), z), (s + end + 0.07, up(0), z), (s + end - 0.07, up(0), z)]
        canvas.polygon(legs, trousers)
    _taper(canvas, s, wide * 0.85, wide * 1.1, up(0.42), up(0.83), z, coat)
    for end in (-wide * 1.25, wide * 1.25):
        _box(canvas, s + end - 0.05, s + end + 0.05, up(0.48), up(0.8), z, coat)
    canvas.ellipse((s, up(0.92), z), 0.065 * height, 0.085 * height, part(choices.colour(_SKIN)))
    hair = [(s - 0.065 * height, up(0.94), z), (s, up(1.02), z), (s + 0.065 * height, up(0.94), z)]
    canvas.polygon(hair, part((0.16, 0.12, 0.10)))


def _box(canvas: Canvas, left: float, right: float, low: float, high: float, z: float, surface: Surface) -> None:
    canvas.polygon([(left, low, z), (left, high, z), (right, high, z), (right, low, z)], surface)


def _taper(
    canvas: Canvas, s: float, half_low: float, half_high: float, low: float, high: float, z: float, surface: Surface
) -> None:
    canvas.polygon(
        [(s - half_low, low, z), (s - half_high, high, z), (s + half_high, high, z), (s + half_low, low, z)], surface
    )


def _shadow_disc(canvas: Canvas, s: float, z: float, radius: float) -> None:
    ring = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -1.0), (0.7, -0.7))
    canvas.shadow([(s + radius * right, z + radius * ahead) for right, ahead in ring])
