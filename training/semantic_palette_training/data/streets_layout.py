"""Where things stand in a Streets scene: the street itself, its light, and everything along it.

A scene is one of five kinds of street. The kind sets ranges (house heights, trees, traffic, people) and every number is
drawn anew within them, camera included, so that the class shares of the scenes vary widely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.data import streets_objects as objects
from semantic_palette_training.data.streets_objects import CLASS
from semantic_palette_training.data.streets_stage import Camera, Canvas, Choices, Material, Plane, Surface

_FARTHEST = 160.0
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """The ranges of one kind of street; lengths in metres, densities in things per 10 m of street and side."""

    weight: float
    lanes: Range
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


_KINDS = (
    Kind(0.27, (1, 2.9), (2, 5), (0, 0), (0, 1), (0.85, 1), (4, 12), (0, 0.3), (0.1, 0.9), (0, 1), (0.2, 2), (0, 0.4)),
    Kind(0.22, (1, 3.9), (2, 4), (0, 3), (0, 6), (0.5, 1), (3, 9), (0.3, 1.1), (0.1, 1), (0, 0.8), (0, 1), (0, 0.3)),
    Kind(
        0.24, (1, 1.9), (1, 3), (0, 4), (2, 9), (0.5, 1), (2, 3.9), (0.2, 0.9), (0, 0.5), (0, 1.2), (0, 0.5), (0, 0.3)
    ),
    Kind(0.13, (1, 1.9), (2, 6), (2, 9), (6, 20), (0, 0.3), (2, 5), (0.8, 2), (0, 0.2), (0, 0.2), (0.2, 1.2), (0, 0.6)),
    Kind(0.14, (1, 3.9), (0, 1), (2, 8), (10, 30), (0, 0.2), (2, 3), (0, 0.7), (0, 0.7), (0, 0), (0, 0.1), (0, 0.15)),
)


@dataclass(frozen=True, slots=True)
class Light:
    """Sun, sky and air of a scene; colours are linear light."""

    sun: tuple[float, float, float]
    """Colour and strength of direct sun; 0 when overcast or at night."""
    ambient: tuple[float, float, float]
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    sun_s: float
    """Metres sideways that a metre of height throws its shadow to the left; negative to the right."""
    clouds: float
    haze: float
    """Visibility is halved about every 1 / haze metres."""
    lamps: float
    """How much of the lamps and lit windows shows, 0 by day to 1 by night."""


@dataclass(frozen=True, slots=True)
class Street:
    """One drawn street: its kind's ranges settled to numbers. Pairs are (left, right)."""

    kind: Kind
    lane: float
    """Width of a lane."""
    lanes: tuple[int, int]
    edges: tuple[float, float]
    """Edges of the carriageway, s."""
    pavement: tuple[float, float]
    verge: tuple[float, float]
    setback: tuple[float, float]
    crossing: float
    """Distance at which another street crosses; beyond the view when there is none."""
    paved_plots: bool

    def kerb(self, side: int, beyond: float = 0.0) -> float:
        """s of a point `beyond` metres outside the edge of the carriageway; side 0 is left, 1 right."""
        return self.edges[side] + (beyond if side else -beyond)

    def face(self, side: int) -> float:
        """s of the house fronts."""
        return self.kerb(side, self.pavement[side] + self.verge[side] + self.setback[side])


@dataclass(frozen=True, slots=True)
class Scene:
    """A painted scene: everything that the renderer needs."""

    camera: Camera
    light: Light
    surfaces: list[Surface]
    ids_HW: NDArray[np.int32]
    """Surface of every pixel."""
    shadows_HW: NDArray[np.bool_]

    def labels(self) -> NDArray[np.uint8]:
        """Class ids uint8 [H, W]."""
        return np.array([surface.class_id for surface in self.surfaces], np.uint8)[self.ids_HW]


def paint_scene(choices: Choices, height: int, width: int) -> Scene:
    """Draw all numbers of a scene and paint it at height x width pixels."""
    light, street = _light(choices), _street(choices)
    camera = _camera(choices, street, width / height)
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


def _light(choices: Choices) -> Light:
    side = 1.0 if choices.chance(0.5) else -1.0
    clouds, haze = choices.between(0.0, 0.7), choices.between(0.0005, 0.004)
    low = side * choices.between(1.2, 2.4)
    high = side * choices.between(0.3, 1.0)
    time = choices.between(0.0, 1.0)
    if time < 0.45:  # a clear day
        return Light(
            (1.0, 0.94, 0.82), (0.36, 0.43, 0.54), (0.12, 0.28, 0.62), (0.55, 0.70, 0.86), high, clouds, haze, 0
        )
    if time < 0.65:  # overcast
        return Light((0, 0, 0), (0.68, 0.71, 0.75), (0.55, 0.60, 0.67), (0.78, 0.80, 0.82), high, 1.0, 2.5 * haze, 0.1)
    if time < 0.82:  # the sun is low
        return Light(
            (1.1, 0.66, 0.32), (0.30, 0.29, 0.36), (0.16, 0.25, 0.48), (0.98, 0.66, 0.40), low, clouds, haze, 0.2
        )
    if time < 0.92:  # dusk
        return Light((0, 0, 0), (0.20, 0.20, 0.28), (0.07, 0.09, 0.22), (0.55, 0.30, 0.26), low, clouds, haze, 0.8)
    return Light((0, 0, 0), (0.075, 0.08, 0.11), (0.010, 0.014, 0.035), (0.07, 0.06, 0.08), low, clouds, haze, 1.0)


def _street(choices: Choices) -> Street:
    pick, kind = choices.between(0.0, 1.0), _KINDS[-1]
    for candidate in _KINDS[:-1]:
        if pick < candidate.weight:
            kind = candidate
            break
        pick -= candidate.weight
    lane, shoulder = choices.between(2.8, 3.7), choices.between(0.2, 2.4)
    lanes = int(choices.between(*kind.lanes)), int(choices.between(*kind.lanes))
    return Street(
        kind=kind,
        lane=lane,
        lanes=lanes,
        edges=(-lane * lanes[0] - shoulder, lane * lanes[1] + shoulder),
        pavement=(choices.between(*kind.pavement), choices.between(*kind.pavement)),
        verge=(choices.between(*kind.verge), choices.between(*kind.verge)),
        setback=(choices.between(*kind.setback), choices.between(*kind.setback)),
        crossing=choices.between(12.0, 70.0) if choices.chance(0.35) else 1e4,
        paved_plots=choices.chance(0.8) if kind.storeys[1] > 8 else choices.chance(0.1),
    )


def _camera(choices: Choices, street: Street, aspect: float) -> Camera:
    if choices.chance(0.15):  # someone on foot
        lateral, height = street.kerb(choices.integer(2), choices.between(0.0, 1.5)), choices.between(1.5, 1.8)
    else:
        lateral = street.lane * (choices.between(0.3, 0.7) + choices.integer(street.lanes[1]))
        height = choices.between(2.4, 5.0) if choices.chance(0.15) else choices.between(1.2, 2.1)
    return Camera(
        focal=choices.between(0.75, 1.5),
        height=height,
        lateral=lateral,
        vanishing_u=aspect * choices.between(0.32, 0.68),
        horizon_v=choices.between(0.34, 0.60),
        bend=choices.between(-0.0016, 0.0016) if choices.chance(0.5) else 0.0,
    )


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
    s_HW, z_HW, below_HW = street_coordinates(camera, height, width)
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


def street_coordinates(
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
        objects.backdrop(canvas, choices, 1.5 * _FARTHEST, "tree", choices.between(6.0, 22.0), 450.0)
    if built:
        objects.backdrop(canvas, choices, _FARTHEST, "building", choices.between(12.0, 40.0), 300.0)


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
                things.append((far, _building(face, near, far, 3.1 * storeys + 0.8, sun_s)))
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
            things.append((z, _tree(street.kerb(side, beyond), z, size * choices.between(0.6, 1.3), sun_s)))
    return things


def _furniture(choices: Choices, street: Street) -> list[Thing]:
    things: list[Thing] = []
    spacing, height = choices.between(14.0, 35.0), choices.between(5.0, 9.0)
    for side in (0, 1):
        inward = -1.0 if side else 1.0
        if choices.chance(0.7):
            z = choices.between(4.0, spacing)
            while z < 120.0:
                things.append((z, _lamp_post(street.kerb(side, 0.5), z, height, inward * 1.6)))
                z += spacing
        for z in _along(choices, 4.0, 60.0, choices.between(0.0, 0.6), street):
            things.append((z, _sign(street.kerb(side, choices.between(0.3, 1.2)), z)))
        if street.crossing < 100:
            things.append((street.crossing - 6.5, _traffic_light(street.kerb(side, 0.4), street.crossing - 6.5)))
    return things


def _traffic(choices: Choices, street: Street, camera: Camera) -> list[Thing]:
    things: list[Thing] = []
    for side in (0, 1):
        density, parked = choices.between(*street.kind.traffic), choices.between(*street.kind.parked)
        for lane in range(street.lanes[side]):
            s = (lane + 0.5) * street.lane * (1 if side else -1)
            closest = 5.5 if abs(s - camera.lateral) < street.lane else 2.5
            for z in _queue(choices, closest, density):
                things.append((z, _car(s + choices.between(-0.3, 0.3), z, side == 0, _length(choices))))
        for z in _queue(choices, 2.5, parked):
            if not -14 < z - street.crossing < 8:
                things.append((z, _car(street.kerb(side, -1.05), z, choices.chance(0.2), _length(choices))))
    return things


def _people(choices: Choices, street: Street, camera: Camera) -> list[Thing]:
    things: list[Thing] = []
    for side in (0, 1):
        for z in _along(choices, 3.0, 70.0, choices.between(*street.kind.people), None):
            beyond = choices.between(0.2, street.pavement[side] + 0.6)
            things.append((z, _pedestrian(street.kerb(side, beyond), z)))
        for z in _along(choices, 4.0, 50.0, choices.between(*street.kind.riders), None):
            things.append((z, _bicyclist(street.kerb(side, -choices.between(0.4, 1.4)), z)))
    if street.crossing < 100 and choices.chance(0.6):
        for _ in range(choices.integer(6)):
            z = street.crossing - 8.0 + choices.between(-1.2, 1.2)
            things.append((z, _pedestrian(choices.between(*street.edges), z)))
    if choices.chance(0.25):  # someone near the camera
        z = choices.between(3.0, 8.0)
        s = camera.lateral + choices.between(-1.0, 1.0) * z
        things.append((z, _bicyclist(s, z) if choices.chance(0.5) else _pedestrian(s, z)))
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


def _building(face: float, near: float, far: float, height: float, sun_s: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.building(canvas, choices, face, near, far, height, sun_s)


def _tree(s: float, z: float, height: float, sun_s: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.tree(canvas, choices, s, z, height, sun_s)


def _lamp_post(s: float, z: float, height: float, reach: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.lamp_post(canvas, s, z, height, reach)


def _sign(s: float, z: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.sign(canvas, choices, s, z)


def _traffic_light(s: float, z: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.traffic_light(canvas, choices, s, z)


def _car(s: float, z: float, oncoming: bool, length: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.car(canvas, choices, s, z, oncoming, length)


def _pedestrian(s: float, z: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.pedestrian(canvas, choices, s, z)


def _bicyclist(s: float, z: float) -> Callable[[Canvas, Choices], None]:
    return lambda canvas, choices: objects.bicyclist(canvas, choices, s, z)
