"""Shading a Streets scene: from surface ids to an RGB image, all pixels at once.

Every pixel looks up its surface, finds its depth from the plane of that surface, takes a texture at that place in the
world, and is lit by sun, sky and lamps through some haze. Only +, -, *, /, square roots, comparisons and rounding are
used, so that the bytes do not depend on a maths library.

Legend: P pixels, S surfaces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.data.streets_layout import Light, Scene
from semantic_palette_training.data.streets_stage import Material, Plane, Surface

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_STOREY = 3.1
_LUMA = np.array([0.30, 0.59, 0.11], np.float32)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The image of a scene, uint8 [H, W, 3]."""
    height, width = scene.ids_HW.shape
    ids_P = scene.ids_HW.ravel()
    table = _Table(scene.surfaces)
    u_P = np.tile((np.arange(width, dtype=np.float32) + 0.5) / height, height)
    v_P = np.repeat((np.arange(height, dtype=np.float32) + 0.5) / height, width)
    place = _Place(scene, table, ids_P, u_P, v_P)
    colour_P3 = table.colour_S3[ids_P]
    glow_P3 = np.zeros_like(colour_P3)
    for material, texture in _TEXTURES.items():
        chosen = np.flatnonzero(table.material_S[ids_P] == material)
        if len(chosen):
            texture(place, chosen, ids_P[chosen], table, colour_P3, glow_P3)
    image_P3 = colour_P3 * colour_P3 * _lighting(scene, table, ids_P) + glow_P3 * np.float32(scene.light.lamps)
    image_P3 = _haze(scene.light, place.z_P, image_P3)
    sky = np.flatnonzero(table.material_S[ids_P] == Material.SKY)
    image_P3[sky] = _sky(scene, u_P[sky], v_P[sky])
    return _develop(image_P3.reshape(height, width, 3), scene.light)


class _Table:
    """The surfaces of a scene as arrays."""

    def __init__(self, surfaces: list[Surface]) -> None:
        self.material_S = np.array([surface.material for surface in surfaces], np.uint8)
        self.plane_S = np.array([surface.plane for surface in surfaces], np.uint8)
        self.colour_S3 = np.array([surface.colour for surface in surfaces], np.float32)
        self.offset_S = np.array([surface.offset for surface in surfaces], np.float32)
        self.slope_S = np.array([surface.slope for surface in surfaces], np.float32)
        self.seed_S = np.array([surface.seed for surface in surfaces], np.int64)


class _Place:
    """Where in the world every pixel lies: x to the right of the optical axis, y up, z ahead, in metres, each [P]."""

    def __init__(self, scene: Scene, table: _Table, ids_P: NDArray[np.int32], u_P: Floats, v_P: Floats) -> None:
        camera = scene.camera
        right_P = (u_P - np.float32(camera.vanishing_u)) / np.float32(camera.focal)
        down_P = (v_P - np.float32(camera.horizon_v)) / np.float32(camera.focal)
        plane_P, offset_P = table.plane_S[ids_P], table.offset_S[ids_P]
        across_P = right_P - table.slope_S[ids_P]
        side_P = offset_P / np.where(np.abs(across_P) < 1e-4, np.float32(1e-4), across_P)
        ground_P = np.float32(camera.height) / np.maximum(down_P, np.float32(1e-4))
        z_P = np.where(plane_P == Plane.SIDE, side_P, np.where(plane_P == Plane.FRONT, offset_P, ground_P))
        self.z_P = np.clip(z_P, np.float32(0.3), np.float32(1000.0))
        self.x_P = right_P * self.z_P
        self.y_P = np.float32(camera.height) - down_P * self.z_P
        # Along a wall: z on walls along the street, x on walls that face the camera.
        self.along_P = np.where(plane_P == Plane.SIDE, self.z_P, self.x_P)
        self.pixel_P = self.z_P / np.float32(camera.focal * scene.ids_HW.shape[0])
        """Metres that a pixel spans at its depth (facing the camera)."""
        # What recedes is foreshortened; its detail blurs into the mean sooner.
        self.depth_pixel_P = self.pixel_P * self.z_P / np.maximum(np.float32(camera.height), np.abs(self.x_P))


def _hash(a: Ints, b: Ints, seed: Ints | int) -> Floats:
    """A number in [0, 1) for each pair of integers, float32, the same everywhere."""
    mixed = (a * 374761393 + b * 668265263 + seed * 2147483647) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 3266489917) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) >> 8).astype(np.float32) * np.float32(2.0**-24)


def _noise(x: Floats, y: Floats, seed: Ints | int) -> Floats:
    """Smooth noise in [0, 1] with features of about one unit, float32."""
    floor_x, floor_y = np.floor(x), np.floor(y)
    a, b = floor_x.astype(np.int64), floor_y.astype(np.int64)
    tx, ty = x - floor_x, y - floor_y
    tx, ty = tx * tx * (3 - 2 * tx), ty * ty * (3 - 2 * ty)
    low = _hash(a, b, seed) * (1 - tx) + _hash(a + 1, b, seed) * tx
    high = _hash(a, b + 1, seed) * (1 - tx) + _hash(a + 1, b + 1, seed) * tx
    return low * (1 - ty) + high * ty


def _sharpness(period: float, pixel: Floats) -> Floats:
    """From 1 where a pattern of this period (metres) spans many pixels to 0 where it spans fewer than two."""
    return np.clip(np.float32(1.5) - 3 * pixel / np.float32(period), 0, 1)


def _asphalt(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    x, z = place.x_P[chosen], place.z_P[chosen]
    patches = _noise(x * 0.35, z * 0.12, 11) - 0.5
    grain = (_noise(x * 9, z * 9, 12) - 0.5) * _sharpness(0.11, place.depth_pixel_P[chosen])
    colour[chosen] *= (1 + 0.22 * patches + 0.28 * grain)[:, None]


def _paint(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    worn = _noise(place.x_P[chosen] * 3, place.z_P[chosen] * 1.5, 13)
    colour[chosen] *= (1 - 0.30 * worn)[:, None]


def _paving(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    x, z = place.x_P[chosen] / 0.6, place.z_P[chosen] / 0.6
    slab = _hash(np.floor(x).astype(np.int64), np.floor(z).astype(np.int64), 14) - 0.5
    joint = np.maximum(x - np.floor(x), z - np.floor(z)) > 0.92
    clear = _sharpness(0.6, place.depth_pixel_P[chosen])
    stains = _noise(x * 0.25, z * 0.25, 15) - 0.5
    colour[chosen] *= (1 + 0.16 * stains + clear * (0.14 * slab - 0.22 * joint))[:, None]


def _grass(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    x, z = place.x_P[chosen], place.z_P[chosen]
    tufts = (_noise(x * 6, z * 4, 16) - 0.5) * _sharpness(0.2, place.depth_pixel_P[chosen])
    patches = _noise(x * 0.4, z * 0.2, 17) - 0.5
    colour[chosen] *= (1 + 0.35 * patches + 0.5 * tufts)[:, None]
    colour[chosen, 0] += 0.10 * np.maximum(patches, 0)


def _facade(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    """Storeys of windows, a shop front or plinth at the street, and weathering."""
    seed = table.seed_S[ids]
    along, y = place.along_P[chosen], place.y_P[chosen]
    style = [_hash(seed, seed >> 8, k) for k in range(5)]
    pitch = 1.9 + 2.2 * style[0]
    column, storey = np.floor(along / pitch).astype(np.int64), np.floor(y / _STOREY).astype(np.int64)
    across, up = along / pitch - column, y / _STOREY - storey
    ground_floor = (storey == 0) & (style[4] < 0.5)
    wide = np.where(ground_floor, 0.86, 0.38 + 0.40 * style[1])
    window = (np.abs(across - 0.5) < wide / 2) & (up > np.where(ground_floor, 0.12, 0.28)) & (up < 0.82)
    frame = (np.abs(across - 0.5) < wide / 2 + 0.05) & (up > 0.24) & (up < 0.87) & ~window
    cell = _hash(column, storey, seed)
    foreshortened = np.where(table.plane_S[ids] == Plane.SIDE, place.depth_pixel_P[chosen], place.pixel_P[chosen])
    clear = _sharpness(2.0, foreshortened)
    pane = np.where(window, clear, (1 - clear) * 0.35 * wide)[:, None]
    weather = 0.82 + 0.12 * _noise(along * 0.5, y * 0.3, seed) + 0.10 * np.minimum(y / 12, 1)
    bricks = (_noise(along * 7, y * 14, seed) - 0.5) * _sharpness(0.25, foreshortened) * (style[2] < 0.6)
    ledge = (up > 0.95) & (style[3] < 0.6)
    wall = colour[chosen] * (weather + 0.22 * bricks + 0.16 * frame * clear - 0.18 * ledge * clear)[:, None]
    reflection = (0.20 + 0.22 * cell + 0.14 * up)[:, None] * np.array([0.85, 1.0, 1.15], np.float32)
    colour[chosen] = wall * (1 - pane) + reflection * pane
    lit = (cell < 0.34)[:, None] * pane
    glow[chosen] += lit * np.array([0.95, 0.68, 0.34], np.float32) * (0.5 + cell)[:, None]


def _plain(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    """A little lighter above than below, as under an open sky."""
    colour[chosen] *= (0.88 + 0.16 * np.clip(place.y_P[chosen] / 1.6, 0, 1))[:, None]


def _foliage(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    seed, x, y = table.seed_S[ids], place.x_P[chosen], place.y_P[chosen]
    clumps = _noise(x * 1.6, y * 1.6, seed) - 0.5
    leaves = (_noise(x * 6, y * 6, seed) - 0.5) * _sharpness(0.17, place.pixel_P[chosen])
    light = 0.72 + 0.28 * np.clip(y / 8, 0, 1.2) + 0.7 * clumps + 0.5 * leaves
    colour[chosen] *= np.clip(light, 0.25, 1.6)[:, None]


def _lamp(place: _Place, chosen: Ints, ids: NDArray[np.int32], table: _Table, colour: Floats, glow: Floats) -> None:
    glow[chosen] += 1.3 * colour[chosen]


_TEXTURES = {
    Material.ASPHALT: _asphalt,
    Material.PAINT: _paint,
    Material.PAVING: _paving,
    Material.GRASS: _grass,
    Material.FACADE: _facade,
    Material.PLAIN: _plain,
    Material.FOLIAGE: _foliage,
    Material.LAMP: _lamp,
}


def _lighting(scene: Scene, table: _Table, ids_P: NDArray[np.int32]) -> Floats:
    """Light that falls on every pixel, float32 [P, 3]: the sky's, and the sun's where it is not shaded."""
    light = scene.light
    # The sun stands to the side that sun_s has the sign of; walls of the other side of the street face it.
    slant = np.float32(1.0 / (1.0 + light.sun_s * light.sun_s))
    faces_sun = (table.offset_S > 0) != (light.sun_s > 0)
    sun_S = np.where(table.plane_S == Plane.SIDE, np.where(faces_sun, 1.0 - 0.4 * slant, 0.06), 0.55)
    sun_S = np.where(table.plane_S == Plane.GROUND, 0.55 + 0.45 * slant, sun_S).astype(np.float32)
    sky_S = np.where(table.plane_S == Plane.GROUND, 1.0, 0.86).astype(np.float32)
    shaded_P = scene.shadows_HW.ravel() & (table.plane_S[ids_P] == Plane.GROUND)
    sun_P = sun_S[ids_P] * np.where(shaded_P, np.float32(0.08), np.float32(1.0))
    # Without sun a shadow is the dimmer patch under a car.
    sky_P = sky_S[ids_P] * np.where(shaded_P, np.float32(0.80 if light.sun[0] > 0 else 0.62), np.float32(1.0))
    ambient, sun = np.array(light.ambient, np.float32), np.array(light.sun, np.float32)
    street_lamps = np.array([0.16, 0.12, 0.07], np.float32) * np.float32(light.lamps)
    return sky_P[:, None] * (ambient + street_lamps) + sun_P[:, None] * sun


def _haze(light: Light, z_P: Floats, image_P3: Floats) -> Floats:
    clear_P = 1 / (1 + np.float32(light.haze) * z_P)
    clear_P3 = (clear_P * clear_P)[:, None]
    return image_P3 * clear_P3 + np.array(light.horizon, np.float32) * (1 - clear_P3)


def _sky(scene: Scene, u: Floats, v: Floats) -> Floats:
    """Linear light of the sky: from horizon to zenith, clouds, and a glow on the side of the sun."""
    light, camera = scene.light, scene.camera
    up = np.maximum(np.float32(camera.horizon_v) - v, 0)
    blend = np.sqrt(np.minimum(up * np.float32(1.5), 1))[:, None]
    sky = np.array(light.horizon, np.float32) * (1 - blend) + np.array(light.zenith, np.float32) * blend
    far = 1 / (up + np.float32(0.12))
    x, y = (u - np.float32(camera.vanishing_u)) * far, far
    seed = int(light.haze * 1e8)
    puffs = 0.55 * _noise(x, y * 1.5, seed) + 0.3 * _noise(x * 2.3, y * 3.4, seed) + 0.15 * _noise(x * 5, y * 7, seed)
    cover = np.clip((puffs - np.float32(0.72 - 0.45 * light.clouds)) * 4, 0, 1)[:, None]
    white = np.array(light.ambient, np.float32) * np.float32(1.05) + np.array(light.sun, np.float32) * np.float32(0.5)
    sky = sky * (1 - 0.75 * cover) + white * (0.75 * cover) * (0.7 + 0.3 * puffs[:, None])
    sun_u = np.float32(camera.vanishing_u + 0.5 * light.sun_s)
    apart = (u - sun_u) * (u - sun_u) + (up - np.float32(0.25)) * (up - np.float32(0.25))
    return sky + (0.03 / (0.04 + apart))[:, None] * np.array(light.sun, np.float32) * np.float32(0.5)


def _develop(image: Floats, light: Light) -> NDArray[np.uint8]:
    """From linear light to bytes: exposure, a lens that blurs a little, vignetting, contrast, and grain."""
    height, width, _ = image.shape
    exposed = image * np.float32(1.15 + 1.1 * light.lamps * (light.lamps > 0.5))
    seen = np.sqrt(exposed / (1 + 0.22 * exposed))
    blurred = seen.copy()
    for axis in (0, 1):
        before, after = (np.take(blurred, _shifted(blurred.shape[axis], step), axis) for step in (-1, 1))
        blurred = 0.76 * blurred + 0.12 * (before + after)
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in (height, width))
    vignette = 1 - 0.07 * (rows[:, None] * rows[:, None] + columns * columns)
    index = np.arange(height * width, dtype=np.int64)
    grain = (_hash(index, index >> 9, int(light.haze * 1e8)) - 0.5).reshape(height, width)
    finished = blurred * vignette[..., None] + np.float32(0.035) * grain[..., None]
    return np.clip(finished * 255 + 0.5, 0, 255).astype(np.uint8)


def _shifted(size: int, step: int) -> Ints:
    return np.clip(np.arange(size) + step, 0, size - 1)
