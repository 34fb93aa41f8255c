"""Painting a Streets scene: the ground in perspective, what closes the view, and everything along the street."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.data import streets_actors as actors
from semantic_palette_training.data import streets_scenery as scenery
from semantic_palette_training.data.streets_plan import Light, Street, draw_camera, draw_light, draw_street
from semantic_palette_training.data.streets_stage import CLASS, Camera, Canvas, Choices, Material, Plane, Surface

_FARTHEST = 160.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A painted scene: everything that the renderer needs."""

    camera: Camera
    light: Light
    surfaces: list[Surface]
    ids: NDArray[np.int32]
    """Surface of every pixel, [H, W]."""
    shadows: NDArray[np.bool_]
    """Pixels whose ground lies in a shadow, [H, W]."""

    def labels(self) -> NDArray[np.uint8]:
        """Class ids uint8 [H, W]."""
        return np.array([surface.class_id for surface in self.surfaces], np.uint8)[self.ids]


def paint_scene(choices: Choices, height: int, width: int) -> Scene:
    """Draw all numbers of a scene and paint it at height x width pixels."""
    light, street = draw_light(choices), draw_street(choices)
    camera = draw_camera(choices, street, width / height)
    ids_HW, ground = _ground(choices, street, camera, height, width)
    canvas = Canvas(camera, ids_HW, ground)
    _backdrop(canvas, choices, street)
    things = _plots(choices, street, light) + _greenery(choices, street, light) + _furniture(choices, street)
    things += _traffic(choices, street, camera) + _people(choices, street, camera)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint(canvas, choices)
    ids_HW, shadows_HW = canvas.finish()
    return Scene(camera, light, canvas.surfaces, ids_HW, shadows_HW)


Thing = tuple[float, Callable[[Canvas, Choices], None]]
"""How far away something is, and how to paint it."""


def _ground(
    choices: Choices, street: Street, camera: Camera, height: int, width: int
) -> tuple[NDArray[np.int32], list[Surface]]:
    """The empty street: the surface id of every pixel, int32 [H, W], and the surfaces."""
    sky = Surface(CLASS["sky"], Material.SKY, (0.0, 0.0, 0.0), Plane.SKY)
    asphalt = Surface(CLASS["road"], Material.ASPHALT, choices.colour([(0.36, 0.36, 0.37)], 0.07), seed=1)
    paving = Surface(
        CLASS["pavement"], Material.PAVING, choices.colour([(0.56, 0.54, 0.51), (0.60, 0.52, 0.47)]), seed=2
    )
    grass = Surface(CLASS["grass"], Material.GRASS, choices.colour([(0.36, 0.46, 0.20), (0.48, 0.48, 0.26)]), seed=3)
    paint = Surface(
        CLASS["lane_marking"], Material.PAINT, choices.colour([(0.88, 0.88, 0.85), (0.90, 0.88, 0.80)]), seed=4
    )
    s_HW, z_HW, below_HW = _street_coordinates(camera, height, width)
    left, right = -s_HW + street.edges[0], s_HW - street.edges[1]
    outside = np.maximum(left, right)
    side = (s_HW > 0).astype(np.intp)
    pavement, verge = np.array(street.pavement)[side], np.array(street.verge)[side]
    crossing = np.abs(z_HW - street.crossing) < 5.0
    on_road = (outside < 0) | crossing
    plot = 2 if street.paved_plots else 3
    beyond = np.where(outside < pavement, 2, np.where(outside < pavement + verge, 3, plot))
    ids = np.where(on_road, np.where(_markings(choices, street, s_HW, z_HW), 4, 1), beyond)
    return np.where(below_HW, ids, 0).astype(np.int32), [sky, asphalt, paving, grass, paint]


def _street_coordinates(
    camera: Camera, height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """s and z of the ground seen in every pixel, and which pixels are below the horizon; each [H, W]."""
    u_W, v_H = (np.arange(width) + 0.5) / height, (np.arange(height) + 0.5) / height
    drop_H = v_H - camera.horizon_v
    z_H = camera.focal * camera.height / np.maximum(drop_H, 1e-4)
    near_H = np.minimum(z_H, 150.0)
    s_HW = (u_W - camera.vanishing_u) / camera.focal * z_H[:, None]
    s_HW += (camera.lateral - camera.bend * near_H * near_H)[:, None]
    shape = (height, width)
    return s_HW, np.broadcast_to(z_H[:, None], shape), np.broadcast_to(drop_H[:, None] > 0, shape)


def _markings(
    choices: Choices, street: Street, s_HW: NDArray[np.float64], z_HW: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Painted pixels of the carriageway, bool [H, W]: lane lines, edge lines and a zebra before a crossing."""
    dash, half = choices.between(3.0, 9.0), choices.between(0.06, 0.12)
    dashed = (z_HW + choices.between(0.0, dash)) % dash < 0.5 * dash
    painted = np.zeros(s_HW.shape, bool)
    if choices.chance(0.85):
        for line in range(-street.lanes[0] + 1, street.lanes[1]):
            painted |= (np.abs(s_HW - line * street.lane) < half) & (dashed | (line == 0))
    if choices.chance(0.5):
        for edge in (-street.lanes[0] * street.lane, street.lanes[1] * street.lane):
            painted |= np.abs(s_HW - edge) < half
    painted &= np.abs(z_HW - street.crossing) > 8.5
    zebra = street.crossing - 8.0 if street.crossing < 100 else choices.between(5.0, 60.0)
    if choices.chance(0.7 if street.crossing < 100 else 0.2):
        inside = (s_HW > street.edges[0] + 0.3) & (s_HW < street.edges[1] - 0.3)
        painted |= inside & (np.abs(z_HW - zebra) < 1.5) & (s_HW % 1.0 < 0.5)
    return painted


def _backdrop(canvas: Canvas, choices: Choices, street: Street) -> None:
    built = street.kind.storeys[1] > 8 or choices.chance(0.25)
    if choices.chance(0.9):
        scenery.backdrop(canvas, choices, 1.5 * _FARTHEST, "tree", choices.between(6.0, 22.0), 450.0)
    if built:
        scenery.backdrop(canvas, choices, _FARTHEST, "building", choices.between(12.0, 40.0), 300.0)


def _plots(choices: Choices, street: Street, light: Light) -> list[Thing]:
    things: list[Thing] = []
    sun_s = light.sun_s if light.sun[0] > 0 else 0.0
    for side in (0, 1):
        presence, far = choices.between(*street.kind.houses), _FARTHEST - choices.between(0.0, 20.0)
        usual = choices.between(*street.kind.storeys)
        while far > 2.5:
            near = max(far - choices.between(9.0, 26.0), 1.0)
            storeys = max(2, int(usual * choices.between(0.7, 1.3)))
            crossed = near < street.crossing + 7 and far > street.crossing - 7
            if choices.chance(presence) and not crossed:
                face = street.face(side) + (1 if side else -1) * choices.between(0.0, 0.8)
                things.append(
                    (
                        far,
                        partial(
                            scenery.building, face_s=face, near=near, far=far, height=3.1 * storeys + 0.8, sun_s=sun_s
                        ),
                    )
                )
            far = near - (choices.between(2.0, 9.0) if choices.chance(0.35) else 0.0)
    return things


def _greenery(choices: Choices, street: Street, light: Light) -> list[Thing]:
    things: list[Thing] = []
    sun_s = light.sun_s if light.sun[0] > 0 else 0.0
    for side in (0, 1):
        density, size = choices.between(*street.kind.trees), choices.between(5.0, 13.0)
        for z in _along(choices, 3.5, 120.0, density, street):
            room = street.verge[side] + street.setback[side]
            beyond = street.pavement[side] + choices.between(0.1, 0.9) * room if room > 1.5 else 0.8
            things.append(
                (
                    z,
                    partial(
                        scenery.tree,
                        s=street.kerb(side, beyond),
                        z=z,
                        height=size * choices.between(0.6, 1.3),
                        sun_s=sun_s,
                    ),
                )
            )
    return things


def _furniture(choices: Choices, street: Street) -> list[Thing]:
    things: list[Thing] = []
    spacing, height = choices.between(14.0, 35.0), choices.between(5.0, 9.0)
    for side in (0, 1):
        inward = -1.0 if side else 1.0
        if choices.chance(0.7):
            z = choices.between(4.0, spacing)
            while z < 120.0:
                things.append(
                    (z, partial(scenery.lamp_post, s=street.kerb(side, 0.5), z=z, height=height, reach=inward * 1.6))
                )
                z += spacing
        for z in _along(choices, 4.0, 60.0, choices.between(0.0, 0.6), street):
            things.append((z, partial(scenery.sign, s=street.kerb(side, choices.between(0.3, 1.2)), z=z)))
        if street.crossing < 100:
            things.append(
                (
                    street.crossing - 6.5,
                    partial(scenery.traffic_light, s=street.kerb(side, 0.4), z=street.crossing - 6.5),
                )
            )
    return things


def _traffic(choices: Choices, street: Street, camera: Camera) -> list[Thing]:
    things: list[Thing] = []
    for side in (0, 1):
        density, parked = choices.between(*street.kind.traffic), choices.between(*street.kind.parked)
        for lane in range(street.lanes[side]):
            s = (lane + 0.5) * street.lane * (1 if side else -1)
            closest = 5.5 if abs(s - camera.lateral) < street.lane else 2.5
            for z in _queue(choices, closest, density):
                things.append(
                    (
                        z,
                        partial(
                            actors.car,
                            s=s + choices.between(-0.3, 0.3),
                            z=z,
                            oncoming=side == 0,
                            length=_length(choices),
                        ),
                    )
                )
        for z in _queue(choices, 2.5, parked if street.parking(side) else 0.0):
            if not -14 < z - street.crossing < 8:
                things.append(
                    (
                        z,
                        partial(
                            actors.car,
                            s=street.kerb(side, -1.05),
                            z=z,
                            oncoming=choices.chance(0.2),
                            length=_length(choices),
                        ),
                    )
                )
    return things


def _people(choices: Choices, street: Street, camera: Camera) -> list[Thing]:
    things: list[Thing] = []
    for side in (0, 1):
        for z in _along(choices, 3.0, 70.0, choices.between(*street.kind.people), None):
            beyond = choices.between(0.2, street.pavement[side] + 0.6)
            things.append((z, partial(actors.pedestrian, s=street.kerb(side, beyond), z=z)))
        for z in _along(choices, 4.0, 50.0, choices.between(*street.kind.riders), None):
            things.append((z, partial(actors.bicyclist, s=street.kerb(side, -choices.between(0.4, 1.4)), z=z)))
    if street.crossing < 100 and choices.chance(0.6):
        for _ in range(choices.integer(6)):
            z = street.crossing - 8.0 + choices.between(-1.2, 1.2)
            things.append((z, partial(actors.pedestrian, s=choices.between(*street.edges), z=z)))
    if choices.chance(0.25):  # someone near the camera
        z = choices.between(3.0, 8.0)
        s = camera.lateral + choices.between(-1.0, 1.0) * z
        things.append((z, partial(actors.bicyclist if choices.chance(0.5) else actors.pedestrian, s=s, z=z)))
    return things


def _along(choices: Choices, near: float, far: float, density: float, street: Street | None) -> list[float]:
    """Distances of things that stand at random along the street; `street` given, none on its crossing."""
    count = int(density * (far - near) / 10.0 + choices.between(0.0, 1.0))
    places = [choices.between(near, far) for _ in range(count)]
    return [z for z in places if street is None or abs(z - street.crossing) > 7.0]


def _queue(choices: Choices, near: float, density: float) -> list[float]:
    """Distances of cars one behind the other, in gaps of at least a car."""
    places, z = [], near + choices.between(0.0, 12.0)
    while z < 110.0:
        if choices.chance(density):
            places.append(z)
            z += 2.0
        z += choices.between(6.0, 12.0)
    return places


def _length(choices: Choices) -> float:
    return choices.between(5.2, 9.0) if choices.chance(0.13) else choices.between(3.8, 4.7)
