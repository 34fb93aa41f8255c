from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Adherence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADHERENCE_UNSPECIFIED: _ClassVar[Adherence]
    ADHERENCE_NATURAL: _ClassVar[Adherence]
    ADHERENCE_EXACT: _ClassVar[Adherence]

class LabelEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_ENCODING_UNSPECIFIED: _ClassVar[LabelEncoding]
    LABEL_ENCODING_PNG: _ClassVar[LabelEncoding]
    LABEL_ENCODING_RAW: _ClassVar[LabelEncoding]

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_JPEG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_WEBP: _ClassVar[ImageFormat]
    IMAGE_FORMAT_RAW: _ClassVar[ImageFormat]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BULK: _ClassVar[Priority]

class PaletteOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PALETTE_ORIGIN_UNSPECIFIED: _ClassVar[PaletteOrigin]
    PALETTE_ORIGIN_GIVEN: _ClassVar[PaletteOrigin]
    PALETTE_ORIGIN_SAMPLED: _ClassVar[PaletteOrigin]
    PALETTE_ORIGIN_PROJECTED: _ClassVar[PaletteOrigin]
    PALETTE_ORIGIN_MEASURED: _ClassVar[PaletteOrigin]
    PALETTE_ORIGIN_EDITED: _ClassVar[PaletteOrigin]
ADHERENCE_UNSPECIFIED: Adherence
ADHERENCE_NATURAL: Adherence
ADHERENCE_EXACT: Adherence
LABEL_ENCODING_UNSPECIFIED: LabelEncoding
LABEL_ENCODING_PNG: LabelEncoding
LABEL_ENCODING_RAW: LabelEncoding
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_JPEG: ImageFormat
IMAGE_FORMAT_WEBP: ImageFormat
IMAGE_FORMAT_RAW: ImageFormat
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BULK: Priority
PALETTE_ORIGIN_UNSPECIFIED: PaletteOrigin
PALETTE_ORIGIN_GIVEN: PaletteOrigin
PALETTE_ORIGIN_SAMPLED: PaletteOrigin
PALETTE_ORIGIN_PROJECTED: PaletteOrigin
PALETTE_ORIGIN_MEASURED: PaletteOrigin
PALETTE_ORIGIN_EDITED: PaletteOrigin

class Palette(_message.Message):
    __slots__ = ("shares",)
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.ScalarMap[str, float]
    def __init__(self, shares: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Constraints(_message.Message):
    __slots__ = ("fixed", "minimum", "maximum")
    class FixedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class MinimumEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class MaximumEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    FIXED_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    fixed: _containers.ScalarMap[str, float]
    minimum: _containers.ScalarMap[str, float]
    maximum: _containers.ScalarMap[str, float]
    def __init__(self, fixed: _Optional[_Mapping[str, float]] = ..., minimum: _Optional[_Mapping[str, float]] = ..., maximum: _Optional[_Mapping[str, float]] = ...) -> None: ...

class LabelMap(_message.Message):
    __slots__ = ("encoding", "height", "width", "data")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    encoding: LabelEncoding
    height: int
    width: int
    data: bytes
    def __init__(self, encoding: _Optional[_Union[LabelEncoding, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("format", "height", "width", "data")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    format: ImageFormat
    height: int
    width: int
    data: bytes
    def __init__(self, format: _Optional[_Union[ImageFormat, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left", "top", "right", "bottom")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    right: int
    bottom: int
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., right: _Optional[int] = ..., bottom: _Optional[int] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("box", "mask")
    BOX_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    box: Box
    mask: LabelMap
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., mask: _Optional[_Union[LabelMap, _Mapping]] = ...) -> None: ...

class ShareTargets(_message.Message):
    __slots__ = ("shares",)
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.ScalarMap[str, float]
    def __init__(self, shares: _Optional[_Mapping[str, float]] = ...) -> None: ...

class ShareDeltas(_message.Message):
    __slots__ = ("deltas",)
    class DeltasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    deltas: _containers.ScalarMap[str, float]
    def __init__(self, deltas: _Optional[_Mapping[str, float]] = ...) -> None: ...

class LayoutEdit(_message.Message):
    __slots__ = ("region", "target", "deltas")
    REGION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    region: Region
    target: ShareTargets
    deltas: ShareDeltas
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ..., target: _Optional[_Union[ShareTargets, _Mapping]] = ..., deltas: _Optional[_Union[ShareDeltas, _Mapping]] = ...) -> None: ...

class RegionShares(_message.Message):
    __slots__ = ("requested", "achieved", "kl", "area")
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    ACHIEVED_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    requested: Palette
    achieved: Palette
    kl: float
    area: float
    def __init__(self, requested: _Optional[_Union[Palette, _Mapping]] = ..., achieved: _Optional[_Union[Palette, _Mapping]] = ..., kl: _Optional[float] = ..., area: _Optional[float] = ...) -> None: ...

class BundleSelector(_message.Message):
    __slots__ = ("name", "digest", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    version: str
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class BundleIdentity(_message.Message):
    __slots__ = ("name", "version", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class EngineIdentity(_message.Message):
    __slots__ = ("engine", "engine_version", "precision", "model_digest")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    engine: str
    engine_version: str
    precision: str
    model_digest: str
    def __init__(self, engine: _Optional[str] = ..., engine_version: _Optional[str] = ..., precision: _Optional[str] = ..., model_digest: _Optional[str] = ...) -> None: ...
