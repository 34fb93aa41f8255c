from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StyleReference(_message.Message):
    __slots__ = ("image", "layout")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    image: _common_pb2.Image
    layout: _common_pb2.LabelMap
    def __init__(self, image: _Optional[_Union[_common_pb2.Image, _Mapping]] = ..., layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ...) -> None: ...

class ImageItem(_message.Message):
    __slots__ = ("layout", "seed", "index", "reference")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    seed: int
    index: int
    reference: StyleReference
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ..., reference: _Optional[_Union[StyleReference, _Mapping]] = ...) -> None: ...

class TranslateLayoutsRequest(_message.Message):
    __slots__ = ("bundle", "items", "image_format", "image_quality", "deterministic", "priority")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    items: _containers.RepeatedCompositeFieldContainer[ImageItem]
    image_format: _common_pb2.ImageFormat
    image_quality: int
    deterministic: bool
    priority: _common_pb2.Priority
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., items: _Optional[_Iterable[_Union[ImageItem, _Mapping]]] = ..., image_format: _Optional[_Union[_common_pb2.ImageFormat, str]] = ..., image_quality: _Optional[int] = ..., deterministic: _Optional[bool] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ...) -> None: ...

class TranslateLayoutsResponse(_message.Message):
    __slots__ = ("bundle", "images", "engine")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    images: _containers.RepeatedCompositeFieldContainer[_common_pb2.Image]
    engine: _common_pb2.EngineIdentity
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., images: _Optional[_Iterable[_Union[_common_pb2.Image, _Mapping]]] = ..., engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ...) -> None: ...
