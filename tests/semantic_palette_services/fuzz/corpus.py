"""Valid requests of every kind, for the tiny bundle with an editor and styled images: what mutations start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from fuzz import open_inference
from fuzz.values import CLASSES, HEIGHT, WIDTH, encoded
from semantic_palette.layout import encode_png
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import model_service_pb2 as models
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette.v1 import status_service_pb2 as status

_LABELS = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) // 37 % CLASSES).astype(np.uint8)
_PHOTO = np.dstack([_LABELS * 40, 255 - _LABELS * 40, _LABELS * 17]).astype(np.uint8)

_SHARES = common.Palette(shares={"sky": 0.25, "road": 0.5, "car": 0.125, "tree": 0.125})
_ONLY = common.Palette(shares={"sky": 1.0})
_BOUNDS = common.Constraints(fixed={"sky": 0.2}, minimum={"car": 0.05, "road": 0.1}, maximum={"building": 0.5})
_PNG = common.LabelMap(data=encode_png(_LABELS))
_RAW = common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=HEIGHT, width=WIDTH, data=_LABELS.tobytes())
_BOX = common.Region(box=common.Box(left=4, top=2, right=20, bottom=12))
_MASK = common.Region(mask=common.LabelMap(data=encode_png((_LABELS > 2).astype(np.uint8))))
_PHOTO_PNG = common.Image(format=common.IMAGE_FORMAT_PNG, data=encoded(_PHOTO, "PNG"))
_PHOTO_JPEG = common.Image(format=common.IMAGE_FORMAT_JPEG, data=encoded(_PHOTO, "JPEG"))
_PHOTO_RAW = common.Image(format=common.IMAGE_FORMAT_RAW, height=HEIGHT, width=WIDTH, data=_PHOTO.tobytes())
_TARGET = common.LayoutEdit(region=_BOX, target=common.ShareTargets(shares={"car": 0.3}))
_DELTA = common.LayoutEdit(region=_MASK, deltas=common.ShareDeltas(deltas={"tree": 0.05}))
_EVERYWHERE = common.LayoutEdit(target=common.ShareTargets(shares={"sky": 0.3, "road": 0.7}))


def _path(service: str, method: str) -> str:
    return f"/semantic_palette.v1.{service}/{method}"


_GENERATE_LAYOUTS = [
    layout.GenerateLayoutsRequest(items=[layout.LayoutItem(palette=_SHARES, seed=3, index=5)], deterministic=True),
    layout.GenerateLayoutsRequest(
        items=[layout.LayoutItem(palette=_SHARES, index=i) for i in range(3)],
        adherence=common.ADHERENCE_EXACT,
        label_encoding=common.LABEL_ENCODING_RAW,
        constraints=common.Constraints(minimum={"car": 0.1}),
    ),
]
_EDIT_LAYOUTS = [
    layout.EditLayoutsRequest(items=[layout.EditItem(layout=_PNG, edit=_TARGET)], deterministic=True),
    layout.EditLayoutsRequest(
        items=[layout.EditItem(layout=_RAW, edit=_DELTA, seed=9), layout.EditItem(layout=_PNG, edit=_EVERYWHERE)]
    ),
]
_TRANSLATE_LAYOUTS = [
    image.TranslateLayoutsRequest(
        items=[
            image.ImageItem(layout=_RAW, seed=1, reference=image.StyleReference(image=_PHOTO_PNG, layout=_PNG)),
            image.ImageItem(layout=_PNG, index=2),
        ],
        deterministic=True,
    ),
    image.TranslateLayoutsRequest(
        items=[image.ImageItem(layout=_PNG)], image_format=common.IMAGE_FORMAT_JPEG, image_quality=80
    ),
]
_GENERATE_PAIRS = [
    factory.GeneratePairsRequest(count=3, seed=1, deterministic=True),
    factory.GeneratePairsRequest(
        bundle=common.BundleSelector(name="tiny"),
        count=2,
        first_index=7,
        palettes=factory.PaletteList(palettes=[_SHARES, _ONLY]),
        adherence=common.ADHERENCE_EXACT,
        label_encoding=common.LABEL_ENCODING_RAW,
        image_format=common.IMAGE_FORMAT_WEBP,
    ),
    factory.GeneratePairsRequest(count=2, sampling=factory.PaletteSampling(constraints=_BOUNDS)),
    factory.GeneratePairsRequest(
        count=2,
        layouts=factory.LayoutList(layouts=[_PNG, _RAW]),
        image_format=common.IMAGE_FORMAT_JPEG,
        image_quality=70,
    ),
]
_EDIT_PAIRS = [
    factory.EditPairsRequest(
        count=2, sources=[factory.EditSource(layout=_PNG, image=_PHOTO_PNG, edit=_TARGET, seed=4)], deterministic=True
    ),
    factory.EditPairsRequest(
        count=3,
        first_index=1,
        sources=[
            factory.EditSource(layout=_RAW, image=_PHOTO_RAW, edit=_DELTA),
            factory.EditSource(layout=_PNG, image=_PHOTO_JPEG, edit=_EVERYWHERE, index=2),
        ],
        image_format=common.IMAGE_FORMAT_RAW,
    ),
]

REQUESTS: dict[str, Sequence[Message]] = {
    _path("PaletteService", "GetLabelSpace"): [
        palette.GetLabelSpaceRequest(bundle=common.BundleSelector(name="tiny")),
    ],
    _path("PaletteService", "SamplePalettes"): [
        palette.SamplePalettesRequest(count=4, seed=2, first_index=10, constraints=_BOUNDS),
    ],
    _path("LayoutService", "GenerateLayouts"): _GENERATE_LAYOUTS,
    _path("LayoutService", "EditLayouts"): _EDIT_LAYOUTS,
    _path("ImageService", "TranslateLayouts"): _TRANSLATE_LAYOUTS,
    _path("FactoryService", "GeneratePairs"): _GENERATE_PAIRS,
    _path("FactoryService", "EditPairs"): _EDIT_PAIRS,
    _path("ModelService", "ListBundles"): [models.ListBundlesRequest()],
    _path("ModelService", "LoadBundle"): [models.LoadBundleRequest(name="tiny", version="2")],
    _path("ModelService", "ActivateBundle"): [
        models.ActivateBundleRequest(name="tiny", version="2", keep_previous=True),
        models.ActivateBundleRequest(name="tiny", version="1"),
    ],
    _path("ModelService", "RollbackBundle"): [models.RollbackBundleRequest(name="tiny")],
    _path("ModelService", "UnloadBundle"): [models.UnloadBundleRequest(name="tiny", version="1", force=True)],
    _path("StatusService", "GetStatus"): [status.GetStatusRequest()],
    **open_inference.requests(_LABELS, _PHOTO),
    "/grpc.health.v1.Health/Check": [health_pb2.HealthCheckRequest(service="readiness")],
    "/grpc.health.v1.Health/Watch": [health_pb2.HealthCheckRequest(service="liveness")],
}
"""By the path of their method. All are answered OK; those that are `deterministic`, with the same bytes each time."""
