"""What Streets scenes are drawn with: seeded choices, a pinhole camera over a street, and a canvas of surfaces.

A scene is painted far to near as polygons into one map of surface ids. Labels are the classes of those surfaces and
the image is their shading, so labels and image agree in every pixel. Street coordinates are metres: s to the right
of the middle of the road (which may bend), y up from the ground, z ahead of the camera. Picture coordinates (u, v)
run right and down in units of the picture's height, so that a scene is the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semantic_palette.label_space import STREETS
from semantic_palette.noise import uniforms

CLASS = {name: STREETS.id_of(name) for name in STREETS.names}
"""Class id of each class name of Streets."""

Point = tuple[float, float, float]
"""A place (s, y, z) in street coordinates, in metres."""
Colour = tuple[float, float, float]
"""Reflectance in red, green and blue, from 0 to 1, as the eye sees it (the square root of linear light)."""


class Choices:
    """An endless row of random choices that depends on (seed, index) alone."""

    def __init__(self, seed: int, index: int) -> None:
        self._seed, self._index = seed, index
        self._values: list[float] = []
        self._position = 0

    def between(self, low: float, high: float) -> float:
        """A float, uniform from `low` to `high`."""
        if self._position == len(self._values):
            # The noise is counter-based: a longer row begins with the shorter one.
            self._values = uniforms(self._seed, self._index, "streets", max(1024, 2 * self._position)).tolist()
        self._position += 1
        return low + (high - low) * self._values[self._position - 1]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.between(0.0, 1.0) < probability

    def integer(self, stop: int) -> int:
        """An integer from 0 to `stop` - 1."""
        return int(self.between(0.0, stop))

    def colour(self, colours: Sequence[Colour], spread: float = 0.05) -> Colour:
        """One of `colours`, a little brighter or darker."""
        red, green, blue = colours[self.integer(len(colours))]
        shift = self.between(-spread, spread)
        return max(red + shift, 0.0), max(green + shift, 0.0), max(blue + shift, 0.0)


@dataclass(frozen=True, slots=True)
class Camera:
    """A level pinhole camera above a street that bends by s = bend * z²."""

    focal: float
    """Focal length in picture heights."""
    height: float
    """Metres above the ground."""
    lateral: float
    """Metres right of the middle of the road."""
    vanishing_u: float
    horizon_v: float
    bend: float
    """Curvature of the road, 1 / metre."""

    def shift(self, z: float) -> float:
        """What to add to s at distance z to get metres right of the optical axis."""
        near = min(z, 150.0)
        return self.bend * near * near - self.lateral

    def project(self, point: Point) -> tuple[float, float]:
        """(u, v) of a point ahead of the camera."""
        s, y, z = point
        scale = self.focal / z
        return self.vanishing_u + (s + self.shift(z)) * scale, self.horizon_v + (self.height - y) * scale


class Material(IntEnum):
    """How a surface is textured."""

    SKY = 0
    ASPHALT = 1
    PAINT = 2
    PAVING = 3
    GRASS = 4
    FACADE = 5
    PLAIN = 6
    FOLIAGE = 7
    LAMP = 8


class Plane(IntEnum):
    """In which plane a surface lies, from which the depth of its pixels follows."""

    SKY = 0
    GROUND = 1
    FRONT = 2
    """Facing the camera, at z = offset."""
    SIDE = 3
    """Upright along the street: metres right of the optical axis = offset + slope * z."""


@dataclass(frozen=True, slots=True)
class Surface:
    """One painted thing: what it is, what it looks like and where it stands."""

    class_id: int
    material: Material
    colour: Colour
    plane: Plane = Plane.GROUND
    offset: float = 0.0
    slope: float = 0.0
    seed: int = 0
    """Varies the texture."""


class Canvas:
    """Surface ids [H, W], painted over one another, and a mask of the shadows that fall on the ground."""

    def __init__(self, camera: Camera, ground_HW: NDArray[np.int32], ground: Sequence[Surface]) -> None:
        self.camera = camera
        self.surfaces = list(ground)
        self._picture = Image.fromarray(ground_HW)
        self._height = self._picture.height
        self._shadows = Image.new("L", self._picture.size)
        self._draw, self._shadow_draw = ImageDraw.Draw(self._picture), ImageDraw.Draw(self._shadows)

    def polygon(self, points: Sequence[Point], surface: Surface) -> None:
        """Paint a polygon given by at least three points in front of the camera."""
        self.surfaces.append(surface)
        self._draw.polygon([self._pixel(point) for point in points], fill=len(self.surfaces) - 1)

    def ellipse(self, centre: Point, radius_s: float, radius_y: float, surface: Surface) -> None:
        """Paint an upright ellipse that faces the camera."""
        s, y, z = centre
        left, top = self._pixel((s - radius_s, y + radius_y, z))
        right, bottom = self._pixel((s + radius_s, y - radius_y, z))
        self.surfaces.append(surface)
        self._draw.ellipse((left, top, right, bottom), fill=len(self.surfaces) - 1)

    def shadow(self, points: Sequence[tuple[float, float]]) -> None:
        """Darken a polygon on the ground, given by (s, z)."""
        self._shadow_draw.polygon([self._pixel((s, 0.0, max(z, 0.5))) for s, z in points], fill=255)

    def box(self, left: float, right: float, low: float, high: float, z: float, surface: Surface) -> None:
        """Paint a rectangle that faces the camera, from s `left` to `right` and from y `low` to `high`."""
        self.polygon([(left, low, z), (left, high, z), (right, high, z), (right, low, z)], surface)

    def taper(
        self, s: float, half_low: float, half_high: float, low: float, high: float, z: float, surface: Surface
    ) -> None:
        """Paint a trapezoid that faces the camera: `half_low` to either side of s at y `low`, `half_high` at `high`."""
        corners = [(s - half_low, low, z), (s - half_high, high, z), (s + half_high, high, z), (s + half_low, low, z)]
        self.polygon(corners, surface)

    def shadow_disc(self, s: float, z: float, radius: float) -> None:
        """Darken a disc on the ground."""
        self.shadow([(s + radius * right, z + radius * ahead) for right, ahead in _DISC])

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Surface ids int32 [H, W] and the shadow mask bool [H, W]."""
        return np.array(self._picture, np.int32), np.array(self._shadows) > 0

    def _pixel(self, point: Point) -> tuple[float, float]:
        u, v = self.camera.project(point)
        # Pillow puts whole numbers on pixel centres; the limit keeps its integer arithmetic from overflowing.
        x, y = u * self._height - 0.5, v * self._height - 0.5
        return (-1e4 if x < -1e4 else min(x, 1e4)), (-1e4 if y < -1e4 else min(y, 1e4))


_DISC = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -1.0), (0.7, -0.7))
