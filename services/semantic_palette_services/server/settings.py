"""What may be chosen about a server: by arguments, or by environment variables that begin with SEMANTIC_PALETTE_."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import MAX_MESSAGE_BYTES
from semantic_palette_services.server.security_settings import ENVIRONMENT_PREFIX, Port, SecuritySettings

ServiceName: TypeAlias = Literal["palette", "layout", "image", "factory", "openinference"]
SERVICE_NAMES: tuple[ServiceName, ...] = get_args(ServiceName)

_NOT_OURS = tuple(f"{ENVIRONMENT_PREFIX}{name}" for name in ("CLIENT_", "DATA", "CACHE"))
"""What variables of clients and of training begin with."""


class ServerSettings(SecuritySettings):
    """Settings of one server process."""

    services: Annotated[tuple[ServiceName, ...], NoDecode] = SERVICE_NAMES
    """Services to serve; separated by commas in the environment."""

    model_store: Path = Path("model_store")
    """Folder of the bundles."""

    bundle: str | None = None
    """``name``, ``name/version`` or ``name/version@sha256``, or several of these, separated by commas. Requests that
    name no bundle get the first; of several versions of a bundle, those that pin none get the first. Default: the only
    bundle of the store, in its active version."""

    unload_delay: float = Field(default=10.0, ge=0)
    """Seconds without a request after which a version that is no longer active is unloaded."""

    engine: str = "auto"
    """``auto`` for the fastest that passes parity, or an engine's name."""

    engine_threads: int = Field(default=0, ge=0)
    """Threads that an engine computes with; 0 for one a core."""

    max_batch_size: int = Field(default=8, ge=1)
    """Most items in a batch."""

    max_queue: int = Field(default=512, ge=1)
    """Most items of one model that may wait, three quarters of them of one priority where both are wanted."""

    max_queue_seconds: float = Field(default=30.0, gt=0)
    """Longest that an interactive item may be expected to wait for its batch; bulk items may wait ten times as long."""

    engine_hang_seconds: float = Field(default=60.0, ge=0)
    """Longest that a batch may take before the engines count as hung and are restarted; 0 for any time. To load one may
    take five times as long."""

    worker_threads: int = Field(default_factory=lambda: min(8, os.cpu_count() or 1), ge=1)
    """Threads for image codecs, exact budgets and rejection sampling."""

    port: Port = 50051
    """Port of the services; 0 for any that is free."""

    health_port: Port = 50052
    """Port of grpc.health.v1 for the kubelet, in plaintext; also reachable while models are loaded."""

    metrics_port: Port = 9464
    """Port that Prometheus scrapes."""

    palette_address: str | None = None
    """Where the factory finds the palette service; default: in this process."""

    layout_address: str | None = None
    """Where the factory finds the layout service; default: in this process."""

    image_address: str | None = None
    """Where the factory finds the image service; default: in this process."""

    stage_timeout: float = Field(default=60.0, gt=0)
    """Seconds that one call of the factory to another service may take."""

    max_streams: int = Field(default=64, ge=1)
    """Streams of pairs at the same time."""

    max_calls: int = Field(default=1024, ge=1)
    """Calls at the same time, streams included."""

    max_message_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=MAX_MESSAGE_BYTES)
    """Largest request, in bytes."""

    max_items: int = Field(default=256, ge=1)
    """Most layouts or images of one request."""

    max_pairs: int = Field(default=1_000_000, ge=1)
    """Most pairs of one stream."""

    pre_stop_delay: float = Field(default=0.0, ge=0)
    """Seconds between NOT_SERVING and the end of accepting calls, for load balancers to notice."""

    drain_grace: float = Field(default=30.0, ge=0)
    """Seconds that accepted calls have to finish once the server stops."""

    max_connection_age: float = Field(default=300.0, ge=0)
    """Seconds after which connections are closed kindly, so that clients find new replicas; 0 for never."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$")
    """OpenTelemetry collector that traces are sent to over OTLP/gRPC, such as ``http://collector:4317``; default: no
    tracing."""

    trace_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of the calls that are traced, of those whose callers do not decide that."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""

    @field_validator("services", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("bundle")
    @classmethod
    def _check_references(cls, value: str | None) -> str | None:
        for part in _parts(value):
            BundleReference.parse(part)
        return value

    @model_validator(mode="after")
    def _stages_are_somewhere(self) -> ServerSettings:
        if not self.services:
            raise InvalidInputError("services", (), "at least one of " + ", ".join(SERVICE_NAMES) + " is")
        if "factory" in self.services:
            for stage, address in self.stage_addresses.items():
                if address is None and stage not in self.services:
                    needed = f"the factory needs one, or the {stage} service in services"
                    raise InvalidInputError(f"{stage}_address", None, needed)
        if self.max_items > self.max_queue:
            allowed = f"at most max_queue ({self.max_queue}) is, or a request could never be accepted"
            raise InvalidInputError("max_items", self.max_items, allowed)
        return self

    @property
    def stage_addresses(self) -> dict[ServiceName, str | None]:
        """Address of each service that the factory needs; None for this process."""
        return {"palette": self.palette_address, "layout": self.layout_address, "image": self.image_address}

    @property
    def bundles(self) -> tuple[BundleReference, ...]:
        """The bundles to load when the server starts, the default one first."""
        return tuple(BundleReference.parse(part) for part in _parts(self.bundle))

    @property
    def models(self) -> tuple[str, ...]:
        """Models that the services of this process use, of those that a bundle has.

        The Open Inference Protocol shows those of the services beside it; alone, all that it can show.
        """
        models: tuple[str, ...] = ("layout", "layout_scores", "editor") if "layout" in self.services else ()
        if "image" in self.services:
            models += ("image", "style_encoder")
        if "openinference" in self.services and not models:
            return ("layout", "editor", "image", "style_encoder")
        return models

    @property
    def needs_bundle(self) -> bool:
        """Whether any service of this process reads the model store."""
        return any(service != "factory" for service in self.services)


def _parts(text: str | None) -> list[str | None]:
    return [None] if text is None else [part.strip() for part in text.split(",")]


def read_settings(**given: Any) -> ServerSettings:
    """Settings from what is given and, for the rest, from the environment.

    Raises:
        InvalidInputError: a value is not allowed; names the setting.
    """
    try:
        return ServerSettings(**given)
    except ValidationError as error:
        raise _invalid_input(error) from error


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Names of environment variables that look like settings and are none, as where one is misspelt."""
    known = {f"{ENVIRONMENT_PREFIX}{name}".upper() for name in ServerSettings.model_fields}
    return sorted(
        name
        for name in environment
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known and not name.startswith(_NOT_OURS)
    )


def _invalid_input(error: ValidationError) -> InvalidInputError:
    """The first problem of a validation error."""
    problem = error.errors()[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, InvalidInputError):
        return cause
    setting = str(problem["loc"][0])
    source = f"{ENVIRONMENT_PREFIX}{setting.upper()} in the environment"
    return InvalidInputError(setting, problem["input"], f"{problem['msg']} (an argument, or {source})")
