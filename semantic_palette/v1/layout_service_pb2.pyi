from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LayoutItem(_message.Message):
    __slots__ = ("palette", "seed", "index")
    PALETTE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    palette: _common_pb2.Palette
    seed: int
    index: int
    def __init__(self, palette: _Optional[_Union[_common_pb2.Palette, _Mapping]] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class GenerateLayoutsRequest(_message.Message):
    __slots__ = ("bundle", "items", "adherence", "deterministic", "label_encoding", "constraints", "priority")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ADHERENCE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    LABEL_ENCODING_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    items: _containers.RepeatedCompositeFieldContainer[LayoutItem]
    adherence: _common_pb2.Adherence
    deterministic: bool
    label_encoding: _common_pb2.LabelEncoding
    constraints: _common_pb2.Constraints
    priority: _common_pb2.Priority
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., items: _Optional[_Iterable[_Union[LayoutItem, _Mapping]]] = ..., adherence: _Optional[_Union[_common_pb2.Adherence, str]] = ..., deterministic: _Optional[bool] = ..., label_encoding: _Optional[_Union[_common_pb2.LabelEncoding, str]] = ..., constraints: _Optional[_Union[_common_pb2.Constraints, _Mapping]] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ...) -> None: ...

class GeneratedLayout(_message.Message):
    __slots__ = ("layout", "achieved", "kl")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    ACHIEVED_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    achieved: _common_pb2.Palette
    kl: float
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., achieved: _Optional[_Union[_common_pb2.Palette, _Mapping]] = ..., kl: _Optional[float] = ...) -> None: ...

class GenerateLayoutsResponse(_message.Message):
    __slots__ = ("bundle", "layouts", "engine")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    layouts: _containers.RepeatedCompositeFieldContainer[GeneratedLayout]
    engine: _common_pb2.EngineIdentity
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., layouts: _Optional[_Iterable[_Union[GeneratedLayout, _Mapping]]] = ..., engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ...) -> None: ...

class EditItem(_message.Message):
    __slots__ = ("layout", "edit", "seed", "index")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    edit: _common_pb2.LayoutEdit
    seed: int
    index: int
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., edit: _Optional[_Union[_common_pb2.LayoutEdit, _Mapping]] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class EditLayoutsRequest(_message.Message):
    __slots__ = ("bundle", "items", "deterministic", "label_encoding", "priority")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    LABEL_ENCODING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    items: _containers.RepeatedCompositeFieldContainer[EditItem]
    deterministic: bool
    label_encoding: _common_pb2.LabelEncoding
    priority: _common_pb2.Priority
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., items: _Optional[_Iterable[_Union[EditItem, _Mapping]]] = ..., deterministic: _Optional[bool] = ..., label_encoding: _Optional[_Union[_common_pb2.LabelEncoding, str]] = ..., priority: _Optional[_Union[_common_pb2.Priority, str]] = ...) -> None: ...

class EditedLayout(_message.Message):
    __slots__ = ("layout", "region")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    layout: _common_pb2.LabelMap
    region: _common_pb2.RegionShares
    def __init__(self, layout: _Optional[_Union[_common_pb2.LabelMap, _Mapping]] = ..., region: _Optional[_Union[_common_pb2.RegionShares, _Mapping]] = ...) -> None: ...

class EditLayoutsResponse(_message.Message):
    __slots__ = ("bundle", "layouts", "engine")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    layouts: _containers.RepeatedCompositeFieldContainer[EditedLayout]
    engine: _common_pb2.EngineIdentity
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., layouts: _Optional[_Iterable[_Union[EditedLayout, _Mapping]]] = ..., engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ...) -> None: ...
