"""The engines there are, and which of them are installed here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.runtime.engines.base import EngineFactory
from semantic_palette_services.runtime.engines.onnxruntime import OnnxRuntimeEngine
from semantic_palette_services.runtime.engines.openvino import OpenVinoEngine
from semantic_palette_services.runtime.errors import EngineUnavailableError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine in one precision.

    Attributes:
        key: what it is pinned by.
        module: the library that it needs.
        extra: the extra of this package that installs the library.
        load: loads a model file.
    """

    key: str
    module: str
    extra: str
    load: EngineFactory

    @property
    def installed(self) -> bool:
        """Whether the library is there; it is not imported."""
        return find_spec(self.module) is not None


# In order of preference where speed does not count: the first that passes parity answers deterministic requests.
ENGINES: tuple[EngineKind, ...] = (
    EngineKind("onnxruntime", "onnxruntime", "cpu", OnnxRuntimeEngine),
    EngineKind("openvino", "openvino", "openvino", partial(OpenVinoEngine, precision="fp32")),
    EngineKind("openvino-bf16", "openvino", "openvino", partial(OpenVinoEngine, precision="bf16")),
)


def candidates(engine: str) -> tuple[EngineKind, ...]:
    """The engines to try: the installed ones for "auto", or the one that is named.

    Raises:
        InvalidInputError: there is no such engine.
        EngineUnavailableError: the engine, or every engine, is not installed.
    """
    if engine == AUTO:
        installed = tuple(kind for kind in ENGINES if kind.installed)
        if not installed:
            extras = " or ".join(dict.fromkeys(f"semantic-palette[{kind.extra}]" for kind in ENGINES))
            raise EngineUnavailableError(AUTO, f"no engine is installed; install {extras}")
        return installed
    for kind in ENGINES:
        if kind.key == engine:
            if not kind.installed:
                raise EngineUnavailableError(engine, f"not installed; install semantic-palette[{kind.extra}]")
            return (kind,)
    raise InvalidInputError("engine", engine, f"{AUTO} or one of {', '.join(kind.key for kind in ENGINES)} is")
