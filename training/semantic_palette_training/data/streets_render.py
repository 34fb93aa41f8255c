"""Shading a Streets scene: from surface ids to an RGB image, all pixels at once.

Every pixel looks up its surface, finds its depth from the plane of that surface, takes a texture at that place in the
world, and is lit by sun, sky and lamps through some haze. Only +, -, *, /, square roots, comparisons and rounding are
used, so that the bytes do not depend on a maths library.

Legend: P pixels, S surfaces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.data.streets_layout import Scene
from semantic_palette_training.data.streets_plan import Light
from semantic_palette_training.data.streets_stage import Material, Plane
from semantic_palette_training.data.streets_textures import TEXTURES, Floats, Ints, Pixels, SurfaceTable, hash01, noise


def render(scene: Scene) -> NDArray[np.uint8]:
    """The image of a scene, uint8 [H, W, 3]."""
    height, width = scene.ids.shape
    ids_P = scene.ids.ravel()
    table = SurfaceTable(scene.surfaces)
    u_P = np.tile((np.arange(width, dtype=np.float32) + 0.5) / height, height)
    v_P = np.repeat((np.arange(height, dtype=np.float32) + 0.5) / height, width)
    pixels = Pixels(scene, table, ids_P, u_P, v_P)
    colour_P3 = table.colour_S3[ids_P]
    glow_P3 = np.zeros_like(colour_P3)
    material_P = table.material_S[ids_P]
    for material, texture in TEXTURES.items():
        chosen = np.flatnonzero(material_P == material)
        if len(chosen):
            texture(pixels, chosen, ids_P[chosen], table, colour_P3, glow_P3)
    image_P3 = colour_P3 * colour_P3 * _lighting(scene, table, ids_P) + glow_P3 * np.float32(scene.light.lamps)
    image_P3 = _haze(scene.light, pixels.z_P, image_P3)
    sky = np.flatnonzero(material_P == Material.SKY)
    image_P3[sky] = _sky(scene, u_P[sky], v_P[sky])
    return _develop(image_P3.reshape(height, width, 3), scene.light)


def _lighting(scene: Scene, table: SurfaceTable, ids_P: NDArray[np.int32]) -> Floats:
    """Light that falls on every pixel, float32 [P, 3]: the sky's, and the sun's where it is not shaded."""
    light = scene.light
    # The sun stands to the side that sun_s has the sign of; walls of the other side of the street face it.
    slant = np.float32(1.0 / (1.0 + light.sun_s * light.sun_s))
    faces_sun = (table.offset_S > 0) != (light.sun_s > 0)
    sun_S = np.where(table.plane_S == Plane.SIDE, np.where(faces_sun, 1.0 - 0.4 * slant, 0.06), 0.55)
    sun_S = np.where(table.plane_S == Plane.GROUND, 0.55 + 0.45 * slant, sun_S).astype(np.float32)
    sky_S = np.where(table.plane_S == Plane.GROUND, 1.0, 0.86).astype(np.float32)
    shaded_P = scene.shadows.ravel() & (table.plane_S[ids_P] == Plane.GROUND)
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
    seed = light.seed
    puffs = 0.55 * noise(x, y * 1.5, seed) + 0.3 * noise(x * 2.3, y * 3.4, seed) + 0.15 * noise(x * 5, y * 7, seed)
    cover = np.clip((puffs - np.float32(0.72 - 0.45 * light.clouds)) * 4, 0, 1)[:, None]
    white = np.array(light.ambient, np.float32) * np.float32(1.05) + np.array(light.sun, np.float32) * np.float32(0.5)
    sky = sky * (1 - 0.75 * cover) + white * (0.75 * cover) * (0.7 + 0.3 * puffs[:, None])
    sun_u = np.float32(camera.vanishing_u + 0.5 * light.sun_s)
    apart = (u - sun_u) * (u - sun_u) + (up - np.float32(0.25)) * (up - np.float32(0.25))
    glare = (0.015 / (0.04 + apart))[:, None] * np.array(light.sun, np.float32)
    return np.asarray(sky + glare)


def _develop(image: Floats, light: Light) -> NDArray[np.uint8]:
    """From linear light to bytes: exposure, a lens that blurs a little, vignetting, contrast, and grain."""
    height, width, _ = image.shape
    exposed = image * np.float32(1.3 + 1.0 * light.lamps * (light.lamps > 0.5))
    seen = np.sqrt(exposed / (1 + 0.22 * exposed))
    blurred = seen.copy()
    for axis in (0, 1):
        before, after = (np.take(blurred, _shifted(blurred.shape[axis], step), axis) for step in (-1, 1))
        blurred = 0.76 * blurred + 0.12 * (before + after)
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in (height, width))
    vignette = 1 - 0.07 * (rows[:, None] * rows[:, None] + columns * columns)
    index = np.arange(height * width, dtype=np.uint32)
    grain = (hash01(index, index >> 9, light.seed) - 0.5).reshape(height, width)
    finished = blurred * vignette[..., None] + np.float32(0.022) * grain[..., None]
    return np.clip(finished * 255 + 0.5, 0, 255).astype(np.uint8)


def _shifted(size: int, step: int) -> Ints:
    return np.clip(np.arange(size) + step, 0, size - 1)
