from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaletteList(_message.Message):
    __slots__ = ("palettes",)
    PALETTES_FIELD_NUMBER: _ClassVar[int]
    palettes: _containers.RepeatedCompositeFieldContainer[_common_pb2.Palette]
    def __init__(self, palettes: _Optional[_Iterable[_Union[_common_pb2.Palette, _Mapping]]] = ...) -> None: ...

class PaletteSampling(_message.Message):
    __slots__ = ("constraints",)
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    constraints: _common_pb2.Constraints
    def __init__(self, constraints: _Optional[_Union[_common_pb2.Constraints, _Mapping]] = ...) -> None: ...

class LayoutList(_message.Message):
    __slots__ = ("layouts",)
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    layouts: _containers.RepeatedCompositeFieldContainer[_common_pb2.LabelMap]
    def __init__(self, layouts: _Optional[_Iterable[_Union[_common_pb2.LabelMap, _Mapping]]] = ...) -> None: ...

class GeneratePairsRequest(_message.Message):
    __slots__ = ("bundle", "count", "seed", "first_index", "palettes", "sampling", "layouts", "adherence", "deterministic", "label_encoding", "image_format", "image_quality", "priority")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    PALETTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    ADHERENCE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    LABEL_ENCODING_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    count: int
    seed: int
    first_index: int
    palettes: PaletteList
    sampling: PaletteSampling
    layouts: LayoutList
    adherence: _common_pb2.Adherence
    deterministic: bool
    label_encoding: _common_pb2.LabelEncoding
    image_format: _common_pb2.ImageFormat
    image_quality: int
    priority: _common_pb2.Priority
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., count: _Optional[int] = ..., seed: _Optional[int] = ..., first_index: _Optional[int] = ..., palettes: _Optional[_Union[PaletteList, _Mapping]] = ..., sampling: _Optional[_Union[PaletteSampling, _Mapping]] = ..., layouts: _Optional[_Union[LayoutList, _Mapping]] = ..., adherence: _Optional[_Union[_common_pb2.Adherence, str]] = ..., deterministic: _Optional[bool] = ..., label_encoding: _Optional[_Union[_common_pb2.LabelEncoding, str]] = ..., image_format: _Optional[_Union[_common_pb2.ImageFormat, str]] = ..., image_quality: _Optional[int] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("bundle", "seed", "index", "adherence", "deterministic", "palette_origin", "layout_engine", "image_engine", "service_version", "edit")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADHERENCE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    PALETTE_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_ENGINE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ENGINE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    seed: int
    index: int
    adherence: _common_pb2.Adherence
    deterministic: bool
    palette_origin: _common_pb2.PaletteOrigin
    layout_engine: _common_pb2.EngineIdentity
    image_engine: _common_pb2.EngineIdentity
    service_version: str
    edit: EditOrigin
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ..., adherence: _Optional[_Union[_common_pb2.Adherence, str]] = ..., deterministic: _Optional[bool] = ..., palette_origin: _Optional[_Union[_common_pb2.PaletteOrigin, str]] = ..., layout_engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., image_engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., service_version: _Optional[str] = ..., edit: _Optional[_Union[EditOrigin, _Mapping]] = ...) -> None: ...

class EditOrigin(_message.Message):
    __slots__ = ("seed", "index", "source", "labels_sha256", "image_sha256", "edit")
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LABELS_SHA256_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SHA256_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    seed: int
    index: int
    source: int
    labels_sha256: str
    image_sha256: str
    edit: _common_pb2.LayoutEdit
    def __init__(self, seed: _Optional[int] = ..., index: _Optional[int] = ..., source: _Optional[int] = ..., labels_sha256: _Optional[str] = ..., image_sha256: _Optional[str] = ..., edit: _Optional[_Union[_common_pb2.LayoutEdit, _Mapping]] = ...) -> None: ...

class Pair(_message.Message):
    __slots__ = ("layout", "image", "requested", "achieved", "kl", "provenance")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    ACHIEVED_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    image: _common_pb2.Image
    requested: _common_pb2.Palette
    achieved: _common_pb2.Palette
    kl: float
    provenance: Provenance
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., image: _Optional[_Union[_common_pb2.Image, _Mapping]] = ..., requested: _Optional[_Union[_common_pb2.Palette, _Mapping]] = ..., achieved: _Optional[_Union[_common_pb2.Palette, _Mapping]] = ..., kl: _Optional[float] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ...) -> None: ...

class GeneratePairsResponse(_message.Message):
    __slots__ = ("pair",)
    PAIR_FIELD_NUMBER: _ClassVar[int]
    pair: Pair
    def __init__(self, pair: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...

class EditSource(_message.Message):
    __slots__ = ("layout", "image", "edit", "seed", "index")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    image: _common_pb2.Image
    edit: _common_pb2.LayoutEdit
    seed: int
    index: int
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., image: _Optional[_Union[_common_pb2.Image, _Mapping]] = ..., edit: _Optional[_Union[_common_pb2.LayoutEdit, _Mapping]] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class EditPairsRequest(_message.Message):
    __slots__ = ("bundle", "count", "seed", "first_index", "sources", "deterministic", "label_encoding", "image_format", "image_quality", "priority")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    LABEL_ENCODING_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    count: int
    seed: int
    first_index: int
    sources: _containers.RepeatedCompositeFieldContainer[EditSource]
    deterministic: bool
    label_encoding: _common_pb2.LabelEncoding
    image_format: _common_pb2.ImageFormat
    image_quality: int
    priority: _common_pb2.Priority
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., count: _Optional[int] = ..., seed: _Optional[int] = ..., first_index: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[EditSource, _Mapping]]] = ..., deterministic: _Optional[bool] = ..., label_encoding: _Optional[_Union[_common_pb2.LabelEncoding, str]] = ..., image_format: _Optional[_Union[_common_pb2.ImageFormat, str]] = ..., image_quality: _Optional[int] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ...) -> None: ...

class EditPairsResponse(_message.Message):
    __slots__ = ("pair", "region")
    PAIR_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    pair: Pair
    region: _common_pb2.RegionShares
    def __init__(self, pair: _Optional[_Union[Pair, _Mapping]] = ..., region: _Optional[_Union[_common_pb2.RegionShares, _Mapping]] = ...) -> None: ...
