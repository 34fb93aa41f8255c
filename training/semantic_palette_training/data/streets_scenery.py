"""What stands still on a street of Streets, each painted on a canvas as a few polygons."""

from __future__ import annotations

from semantic_palette_training.data.streets_stage import CLASS, Canvas, Choices, Colour, Material, Plane, Point, Surface

_FACADES: tuple[Colour, ...] = (
    (0.62, 0.42, 0.35),
    (0.78, 0.70, 0.57),
    (0.66, 0.66, 0.66),
    (0.88, 0.85, 0.80),
    (0.74, 0.60, 0.42),
    (0.50, 0.36, 0.31),
    (0.55, 0.62, 0.68),
    (0.83, 0.76, 0.70),
    (0.42, 0.45, 0.50),
)
_ROOFS = ((0.52, 0.30, 0.25), (0.38, 0.37, 0.38), (0.45, 0.33, 0.28))
_LEAVES = ((0.30, 0.42, 0.18), (0.24, 0.37, 0.17), (0.38, 0.46, 0.20), (0.33, 0.40, 0.24), (0.55, 0.43, 0.18))
_BARK: Colour = (0.30, 0.25, 0.20)
_SIGNS = ((0.72, 0.10, 0.12), (0.12, 0.30, 0.62), (0.88, 0.74, 0.15), (0.92, 0.92, 0.90), (0.10, 0.42, 0.24))
_METAL: Colour = (0.36, 0.38, 0.40)
_HEAD_LIGHT: Colour = (0.98, 0.96, 0.86)


def building(
    canvas: Canvas, choices: Choices, face_s: float, near: float, far: float, height: float, sun_s: float
) -> None:
    """A block whose wall at `face_s` looks on the street from z `near` to `far`; some have a gable roof."""
    outward = 1.0 if face_s > 0 else -1.0
    back_s = face_s + outward * choices.between(8.0, 16.0)
    colour, seed = choices.colour(_FACADES, 0.08), choices.integer(2**31)
    gabled = choices.chance(0.6) and height < 11.0
    x_near, x_far = face_s + canvas.camera.shift(near), face_s + canvas.camera.shift(far)
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
    canvas.polygon([(face_s, 0, near), (face_s, 0, far), (face_s, height, far), (face_s, height, near)], wall)
    canvas.polygon([(face_s, 0, near), (face_s, height, near), (back_s, height, near), (back_s, 0, near)], front)


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
    canvas.shadow_disc(s - sun_s * middle * 0.7, z + 0.2 * middle, radius)
    canvas.polygon(
        [(s - half, 0, z), (s - 0.6 * half, middle, z), (s + 0.6 * half, middle, z), (s + half, 0, z)], trunk
    )
    colour = choices.colour(_LEAVES)
    lumps: list[tuple[float, float, float]] = []
    # Smaller lumps on the large ones fray the outline where it is near enough to be seen.
    for number in range(7 + min(16, int(120 / z))):
        across, up, base = lumps[choices.integer(7)] if number >= 7 else (0.0, 0.0, radius)
        spread, size = (0.75, 0.35) if number >= 7 else (0.6, choices.between(0.45, 0.8))
        lump = (
            across + base * choices.between(-spread, spread),
            up + base * choices.between(-spread, spread),
            size * base,
        )
        lumps.append(lump)
        tint = (colour[0] + choices.between(-0.03, 0.03), colour[1] + choices.between(-0.03, 0.03), colour[2])
        leaves = Surface(CLASS["tree"], Material.FOLIAGE, tint, Plane.FRONT, z, seed=choices.integer(2**31))
        canvas.ellipse((s + lump[0], middle + lump[1], z), lump[2], lump[2] * choices.between(0.7, 1.0), leaves)


def lamp_post(canvas: Canvas, _: Choices, s: float, z: float, height: float, reach: float) -> None:
    """A post with an arm of `reach` metres (its sign is its direction) and a lamp at the end."""
    metal = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    lamp = Surface(CLASS["pole"], Material.LAMP, _HEAD_LIGHT, Plane.FRONT, z)
    canvas.box(s - 0.07, s + 0.07, 0.0, height, z, metal)
    end = s + reach
    canvas.polygon([(s, height, z), (end, height + 0.4, z), (end, height + 0.25, z), (s, height - 0.15, z)], metal)
    canvas.box(end - 0.3, end + 0.3, height + 0.15, height + 0.35, z, lamp)


def sign(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A pole with a traffic sign: round, triangular or rectangular, on a post or (larger) beside the road."""
    size, middle = choices.between(0.35, 0.8), choices.between(2.0, 3.2)
    post = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    colour = choices.colour(_SIGNS)
    plate = Surface(CLASS["sign"], Material.PLAIN, colour, Plane.FRONT, z)
    inside = Surface(CLASS["sign"], Material.PLAIN, (0.93, 0.93, 0.92), Plane.FRONT, z)
    canvas.box(s - 0.05, s + 0.05, 0.0, middle, z, post)
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
            canvas.box(s - 1.3 * reach, s + 1.3 * reach, middle - reach, middle + reach, z, surface)


def traffic_light(canvas: Canvas, choices: Choices, s: float, z: float) -> None:
    """A pole with a black box of three lamps, one of them lit."""
    post = Surface(CLASS["pole"], Material.PLAIN, _METAL, Plane.FRONT, z)
    case = Surface(CLASS["sign"], Material.PLAIN, (0.10, 0.11, 0.10), Plane.FRONT, z)
    canvas.box(s - 0.06, s + 0.06, 0.0, 3.4, z, post)
    canvas.box(s - 0.2, s + 0.2, 2.5, 3.5, z, case)
    y, colour = ((3.3, (0.9, 0.1, 0.08)), (2.7, (0.15, 0.85, 0.4)))[choices.integer(2)]
    canvas.ellipse((s, y, z), 0.12, 0.12, Surface(CLASS["sign"], Material.LAMP, colour, Plane.FRONT, z))
