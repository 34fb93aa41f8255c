from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BundleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUNDLE_STATE_UNSPECIFIED: _ClassVar[BundleState]
    BUNDLE_STATE_LOADED: _ClassVar[BundleState]
    BUNDLE_STATE_ACTIVE: _ClassVar[BundleState]
    BUNDLE_STATE_RETIRED: _ClassVar[BundleState]
BUNDLE_STATE_UNSPECIFIED: BundleState
BUNDLE_STATE_LOADED: BundleState
BUNDLE_STATE_ACTIVE: BundleState
BUNDLE_STATE_RETIRED: BundleState

class ModelInMemory(_message.Message):
    __slots__ = ("operation", "engine", "deterministic_engine", "max_batch_size", "explanation")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_ENGINE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    operation: str
    engine: _common_pb2.EngineIdentity
    deterministic_engine: _common_pb2.EngineIdentity
    max_batch_size: int
    explanation: str
    def __init__(self, operation: _Optional[str] = ..., engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., deterministic_engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., max_batch_size: _Optional[int] = ..., explanation: _Optional[str] = ...) -> None: ...

class BundleInMemory(_message.Message):
    __slots__ = ("bundle", "state", "requests", "load_seconds", "models")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    state: BundleState
    requests: int
    load_seconds: float
    models: _containers.RepeatedCompositeFieldContainer[ModelInMemory]
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., state: _Optional[_Union[BundleState, str]] = ..., requests: _Optional[int] = ..., load_seconds: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelInMemory, _Mapping]]] = ...) -> None: ...

class BundleInStore(_message.Message):
    __slots__ = ("name", "versions", "active_version", "previous_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    active_version: str
    previous_version: str
    def __init__(self, name: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., active_version: _Optional[str] = ..., previous_version: _Optional[str] = ...) -> None: ...

class ListBundlesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBundlesResponse(_message.Message):
    __slots__ = ("memory", "store", "default_bundle")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    memory: _containers.RepeatedCompositeFieldContainer[BundleInMemory]
    store: _containers.RepeatedCompositeFieldContainer[BundleInStore]
    default_bundle: str
    def __init__(self, memory: _Optional[_Iterable[_Union[BundleInMemory, _Mapping]]] = ..., store: _Optional[_Iterable[_Union[BundleInStore, _Mapping]]] = ..., default_bundle: _Optional[str] = ...) -> None: ...

class LoadBundleRequest(_message.Message):
    __slots__ = ("name", "version", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class LoadBundleResponse(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: BundleInMemory
    def __init__(self, bundle: _Optional[_Union[BundleInMemory, _Mapping]] = ...) -> None: ...

class ActivateBundleRequest(_message.Message):
    __slots__ = ("name", "version", "digest", "keep_previous")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KEEP_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    keep_previous: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., keep_previous: _Optional[bool] = ...) -> None: ...

class ActivateBundleResponse(_message.Message):
    __slots__ = ("bundle", "previous_version")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    bundle: BundleInMemory
    previous_version: str
    def __init__(self, bundle: _Optional[_Union[BundleInMemory, _Mapping]] = ..., previous_version: _Optional[str] = ...) -> None: ...

class RollbackBundleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RollbackBundleResponse(_message.Message):
    __slots__ = ("bundle", "previous_version")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    bundle: BundleInMemory
    previous_version: str
    def __init__(self, bundle: _Optional[_Union[BundleInMemory, _Mapping]] = ..., previous_version: _Optional[str] = ...) -> None: ...

class UnloadBundleRequest(_message.Message):
    __slots__ = ("name", "version", "force")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    force: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class UnloadBundleResponse(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: int
    def __init__(self, requests: _Optional[int] = ...) -> None: ...
