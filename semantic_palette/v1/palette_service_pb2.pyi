from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetLabelSpaceRequest(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ...) -> None: ...

class LabelClass(_message.Message):
    __slots__ = ("id", "name", "colour", "evaluated", "thing")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLOUR_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    THING_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    colour: int
    evaluated: bool
    thing: bool
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., colour: _Optional[int] = ..., evaluated: _Optional[bool] = ..., thing: _Optional[bool] = ...) -> None: ...

class GetLabelSpaceResponse(_message.Message):
    __slots__ = ("bundle", "name", "classes", "height", "width", "operations", "styled")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    STYLED_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    name: str
    classes: _containers.RepeatedCompositeFieldContainer[LabelClass]
    height: int
    width: int
    operations: _containers.RepeatedScalarFieldContainer[str]
    styled: bool
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., name: _Optional[str] = ..., classes: _Optional[_Iterable[_Union[LabelClass, _Mapping]]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., operations: _Optional[_Iterable[str]] = ..., styled: _Optional[bool] = ...) -> None: ...

class SamplePalettesRequest(_message.Message):
    __slots__ = ("bundle", "count", "seed", "first_index", "constraints")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleSelector
    count: int
    seed: int
    first_index: int
    constraints: _common_pb2.Constraints
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleSelector, _Mapping]] = ..., count: _Optional[int] = ..., seed: _Optional[int] = ..., first_index: _Optional[int] = ..., constraints: _Optional[_Union[_common_pb2.Constraints, _Mapping]] = ...) -> None: ...

class SampledPalette(_message.Message):
    __slots__ = ("palette", "origin", "index")
    PALETTE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    palette: _common_pb2.Palette
    origin: _common_pb2.PaletteOrigin
    index: int
    def __init__(self, palette: _Optional[_Union[_common_pb2.Palette, _Mapping]] = ..., origin: _Optional[_Union[_common_pb2.PaletteOrigin, str]] = ..., index: _Optional[int] = ...) -> None: ...

class SamplePalettesResponse(_message.Message):
    __slots__ = ("bundle", "palettes")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PALETTES_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    palettes: _containers.RepeatedCompositeFieldContainer[SampledPalette]
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., palettes: _Optional[_Iterable[_Union[SampledPalette, _Mapping]]] = ...) -> None: ...
