from semantic_palette.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EngineCandidate(_message.Message):
    __slots__ = ("engine", "accepted", "reason", "batch_seconds", "chosen", "deterministic")
    class BatchSecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BATCH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    engine: str
    accepted: bool
    reason: str
    batch_seconds: _containers.ScalarMap[int, float]
    chosen: bool
    deterministic: bool
    def __init__(self, engine: _Optional[str] = ..., accepted: _Optional[bool] = ..., reason: _Optional[str] = ..., batch_seconds: _Optional[_Mapping[int, float]] = ..., chosen: _Optional[bool] = ..., deterministic: _Optional[bool] = ...) -> None: ...

class BatchFit(_message.Message):
    __slots__ = ("inputs", "deterministic", "seconds_per_item", "fixed_seconds")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_ITEM_FIELD_NUMBER: _ClassVar[int]
    FIXED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    inputs: str
    deterministic: bool
    seconds_per_item: float
    fixed_seconds: float
    def __init__(self, inputs: _Optional[str] = ..., deterministic: _Optional[bool] = ..., seconds_per_item: _Optional[float] = ..., fixed_seconds: _Optional[float] = ...) -> None: ...

class RecentWork(_message.Message):
    __slots__ = ("seconds", "batches", "items", "busy_seconds")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    BUSY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    batches: int
    items: int
    busy_seconds: float
    def __init__(self, seconds: _Optional[float] = ..., batches: _Optional[int] = ..., items: _Optional[int] = ..., busy_seconds: _Optional[float] = ...) -> None: ...

class ModelStatus(_message.Message):
    __slots__ = ("operation", "engine", "deterministic_engine", "candidates", "healthy", "max_batch_size", "queue_depth", "inflight", "batch_sizes", "fits", "recent", "sheds", "cancelled", "failed_batches", "waiting")
    class BatchSizesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ShedsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CancelledEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class WaitingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_ENGINE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZES_FIELD_NUMBER: _ClassVar[int]
    FITS_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    SHEDS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_BATCHES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    operation: str
    engine: _common_pb2.EngineIdentity
    deterministic_engine: _common_pb2.EngineIdentity
    candidates: _containers.RepeatedCompositeFieldContainer[EngineCandidate]
    healthy: bool
    max_batch_size: int
    queue_depth: int
    inflight: int
    batch_sizes: _containers.ScalarMap[int, int]
    fits: _containers.RepeatedCompositeFieldContainer[BatchFit]
    recent: RecentWork
    sheds: _containers.ScalarMap[str, int]
    cancelled: _containers.ScalarMap[str, int]
    failed_batches: int
    waiting: _containers.ScalarMap[str, int]
    def __init__(self, operation: _Optional[str] = ..., engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., deterministic_engine: _Optional[_Union[_common_pb2.EngineIdentity, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[EngineCandidate, _Mapping]]] = ..., healthy: _Optional[bool] = ..., max_batch_size: _Optional[int] = ..., queue_depth: _Optional[int] = ..., inflight: _Optional[int] = ..., batch_sizes: _Optional[_Mapping[int, int]] = ..., fits: _Optional[_Iterable[_Union[BatchFit, _Mapping]]] = ..., recent: _Optional[_Union[RecentWork, _Mapping]] = ..., sheds: _Optional[_Mapping[str, int]] = ..., cancelled: _Optional[_Mapping[str, int]] = ..., failed_batches: _Optional[int] = ..., waiting: _Optional[_Mapping[str, int]] = ...) -> None: ...

class BundleStatus(_message.Message):
    __slots__ = ("bundle", "models", "state", "requests")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    bundle: _common_pb2.BundleIdentity
    models: _containers.RepeatedCompositeFieldContainer[ModelStatus]
    state: str
    requests: int
    def __init__(self, bundle: _Optional[_Union[_common_pb2.BundleIdentity, _Mapping]] = ..., models: _Optional[_Iterable[_Union[ModelStatus, _Mapping]]] = ..., state: _Optional[str] = ..., requests: _Optional[int] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("server_version", "uptime_seconds", "ready", "services", "libraries", "bundles", "open_calls", "device_busy_share", "restarts")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RestartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_BUSY_SHARE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    uptime_seconds: float
    ready: bool
    services: _containers.RepeatedScalarFieldContainer[str]
    libraries: _containers.ScalarMap[str, str]
    bundles: _containers.RepeatedCompositeFieldContainer[BundleStatus]
    open_calls: int
    device_busy_share: float
    restarts: _containers.ScalarMap[str, int]
    def __init__(self, server_version: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., ready: _Optional[bool] = ..., services: _Optional[_Iterable[str]] = ..., libraries: _Optional[_Mapping[str, str]] = ..., bundles: _Optional[_Iterable[_Union[BundleStatus, _Mapping]]] = ..., open_calls: _Optional[int] = ..., device_busy_share: _Optional[float] = ..., restarts: _Optional[_Mapping[str, int]] = ...) -> None: ...
