"""Textures of a Streets scene, evaluated at the place in the world that a pixel shows.

Legend: P pixels, S surfaces. A texture gets the pixels of one material (`chosen`, with their surface ids), changes
their reflectance in `colour` [P, 3] and adds to their own light in `glow` [P, 3].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.data.streets_layout import Scene
from semantic_palette_training.data.streets_stage import Material, Plane, Surface

Floats = NDArray[np.floating[Any]]
"""float32 at run time; the type checker takes Python numbers to widen it."""
Ints = NDArray[np.intp]
Words = NDArray[np.integer[Any]]
"""uint32 at run time."""

_STOREY = 3.1


class SurfaceTable:
    """The surfaces of a scene as arrays."""

    def __init__(self, surfaces: list[Surface]) -> None:
        self.material_S = np.array([surface.material for surface in surfaces], np.uint8)
        self.plane_S = np.array([surface.plane for surface in surfaces], np.uint8)
        self.colour_S3 = np.array([surface.colour for surface in surfaces], np.float32)
        self.offset_S = np.array([surface.offset for surface in surfaces], np.float32)
        self.slope_S = np.array([surface.slope for surface in surfaces], np.float32)
        self.seed_S = np.array([surface.seed for surface in surfaces], np.uint32)


class Pixels:
    """Where in the world every pixel lies: x to the right of the optical axis, y up, z ahead, in metres, each [P]."""

    def __init__(self, scene: Scene, table: SurfaceTable, ids_P: NDArray[np.int32], u_P: Floats, v_P: Floats) -> None:
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
        self.pixel_P = self.z_P / np.float32(camera.focal * scene.ids.shape[0])
        """Metres that a pixel spans at its depth (facing the camera)."""
        # What recedes is foreshortened; its detail blurs into the mean sooner.
        self.depth_pixel_P = self.pixel_P * self.z_P / np.maximum(np.float32(camera.height), np.abs(self.x_P))


def hash01(a: Words, b: Words, seed: Words | int) -> Floats:
    """A number in [0, 1) for each pair of integers, the same everywhere: 32-bit arithmetic that wraps."""
    mixed = a * 374761393 + b * 668265263 + _word(seed) * 2147483647
    mixed = (mixed ^ (mixed >> 15)) * 2246822519
    mixed = (mixed ^ (mixed >> 13)) * 3266489917
    return ((mixed ^ (mixed >> 16)) >> 8).astype(np.float32) * np.float32(2.0**-24)


def _word(seed: Words | int) -> Words:
    return np.array([seed], np.uint32) if isinstance(seed, int) else seed


def _cell(x: Floats) -> Words:
    """Whole numbers (negative ones wrap) as words."""
    return x.astype(np.int32).view(np.uint32)


def noise(x: Floats, y: Floats, seed: Words | int) -> Floats:
    """Smooth noise in [0, 1] with features of about one unit."""
    floor_x, floor_y = np.floor(x), np.floor(y)
    a, b = _cell(floor_x), _cell(floor_y)
    tx, ty = x - floor_x, y - floor_y
    tx, ty = tx * tx * (3 - 2 * tx), ty * ty * (3 - 2 * ty)
    low_left, low_right = hash01(a, b, seed), hash01(a + 1, b, seed)
    high_left, high_right = hash01(a, b + 1, seed), hash01(a + 1, b + 1, seed)
    low = low_left + (low_right - low_left) * tx
    high = high_left + (high_right - high_left) * tx
    return low + (high - low) * ty


def _sharpness(period: float, pixel: Floats) -> Floats:
    """From 1 where a pattern of this period (metres) spans many pixels to 0 where it spans fewer than two."""
    return np.asarray(np.clip(np.float32(1.5) - 3 * pixel / np.float32(period), 0, 1))


def _asphalt(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    x, z = pixels.x_P[chosen], pixels.z_P[chosen]
    patches = noise(x * 0.35, z * 0.12, 11) - 0.5
    grain = (noise(x * 9, z * 9, 12) - 0.5) * _sharpness(0.11, pixels.depth_pixel_P[chosen])
    colour[chosen] *= (1 + 0.22 * patches + 0.28 * grain)[:, None]


def _paint(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    worn = noise(pixels.x_P[chosen] * 3, pixels.z_P[chosen] * 1.5, 13)
    colour[chosen] *= (1 - 0.30 * worn)[:, None]


def _paving(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    x, z = pixels.x_P[chosen] / 0.6, pixels.z_P[chosen] / 0.6
    slab = hash01(_cell(np.floor(x)), _cell(np.floor(z)), 14) - 0.5
    joint = np.maximum(x - np.floor(x), z - np.floor(z)) > 0.92
    clear = _sharpness(0.6, pixels.depth_pixel_P[chosen])
    stains = noise(x * 0.25, z * 0.25, 15) - 0.5
    colour[chosen] *= (1 + 0.16 * stains + clear * (0.14 * slab - 0.22 * joint))[:, None]


def _grass(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    x, z = pixels.x_P[chosen], pixels.z_P[chosen]
    tufts = (noise(x * 6, z * 4, 16) - 0.5) * _sharpness(0.2, pixels.depth_pixel_P[chosen])
    patches = noise(x * 0.4, z * 0.2, 17) - 0.5
    colour[chosen] *= (1 + 0.35 * patches + 0.5 * tufts)[:, None]
    colour[chosen, 0] += 0.10 * np.maximum(patches, 0)


def _facade(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    """Storeys of windows, a shop front or plinth at the street, and weathering."""
    seed = table.seed_S[ids]
    along, y = pixels.along_P[chosen], pixels.y_P[chosen]
    style = _facade_styles(table)[:, ids]
    pitch = 1.9 + 2.2 * style[0]
    column, storey = np.floor(along / pitch), np.floor(y / _STOREY)
    across, up = along / pitch - column, y / _STOREY - storey
    ground_floor = (storey == 0) & (style[4] < 0.5)
    wide = np.where(ground_floor, 0.86, 0.38 + 0.40 * style[1])
    window = (np.abs(across - 0.5) < wide / 2) & (up > np.where(ground_floor, 0.12, 0.28)) & (up < 0.82)
    frame = (np.abs(across - 0.5) < wide / 2 + 0.05) & (up > 0.24) & (up < 0.87) & ~window
    cell = hash01(_cell(column), _cell(storey), seed)
    foreshortened = np.where(table.plane_S[ids] == Plane.SIDE, pixels.depth_pixel_P[chosen], pixels.pixel_P[chosen])
    clear = _sharpness(2.0, foreshortened)
    pane = np.where(window, clear, (1 - clear) * 0.35 * wide)[:, None]
    weather = 0.82 + 0.12 * noise(along * 0.5, y * 0.3, seed) + 0.10 * np.minimum(y / 12, 1)
    bricks = (noise(along * 7, y * 14, seed) - 0.5) * _sharpness(0.25, foreshortened) * (style[2] < 0.6)
    ledge = (up > 0.95) & (style[3] < 0.6)
    wall = colour[chosen] * (weather + 0.22 * bricks + 0.16 * frame * clear - 0.18 * ledge * clear)[:, None]
    reflection = (0.20 + 0.22 * cell + 0.14 * up)[:, None] * np.array([0.85, 1.0, 1.15], np.float32)
    colour[chosen] = wall * (1 - pane) + reflection * pane
    lit = (cell < 0.34)[:, None] * pane
    glow[chosen] += lit * np.array([0.95, 0.68, 0.34], np.float32) * (0.5 + cell)[:, None]


def _facade_styles(table: SurfaceTable) -> Floats:
    """Five numbers in [0, 1) for each surface, [5, S]: the taste of its architect."""
    return np.stack([hash01(table.seed_S, table.seed_S >> 8, k) for k in range(5)])


def _plain(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    """A little lighter above than below, as under an open sky."""
    colour[chosen] *= (0.88 + 0.16 * np.clip(pixels.y_P[chosen] / 1.6, 0, 1))[:, None]


def _foliage(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    seed, x, y = table.seed_S[ids], pixels.x_P[chosen], pixels.y_P[chosen]
    clumps = noise(x * 1.6, y * 1.6, seed) - 0.5
    leaves = (noise(x * 6, y * 6, seed) - 0.5) * _sharpness(0.17, pixels.pixel_P[chosen])
    light = 0.72 + 0.28 * np.clip(y / 8, 0, 1.2) + 0.7 * clumps + 0.5 * leaves
    colour[chosen] *= np.clip(light, 0.25, 1.6)[:, None]


def _lamp(
    pixels: Pixels, chosen: Ints, ids: NDArray[np.int32], table: SurfaceTable, colour: Floats, glow: Floats
) -> None:
    glow[chosen] += 1.3 * colour[chosen]


TEXTURES = {
    Material.ASPHALT: _asphalt,
    Material.PAINT: _paint,
    Material.PAVING: _paving,
    Material.GRASS: _grass,
    Material.FACADE: _facade,
    Material.PLAIN: _plain,
    Material.FOLIAGE: _foliage,
    Material.LAMP: _lamp,
}
