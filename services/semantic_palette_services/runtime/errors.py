"""Errors of the serving runtime.

SemanticPaletteError
  RuntimeServiceError
    OverloadError             refused at admission: too much waits already; carries when to come back
      QueueFullError          the bounded queue has no room
      WaitTooLongError        the estimated wait is longer than the server is set to allow
    DeadlineUnmetError        refused at admission: the answer would come after the caller's deadline
      DeadlineExpiredError    accepted, but the deadline passed while it was queued
    DrainingError             the server is stopping and accepts nothing new
    EngineDiedError           the engine or its device thread died; it is being restarted
    InferenceError            this item, run alone, makes the model fail
    EngineUnavailableError    the engine is not installed, or this machine lacks what it needs
    EngineLoadError           the engine is there but cannot load the model file
    EngineOutputError         the engine answered with arrays that the manifest does not promise
    ParityError               no allowed engine reproduces the bundle's golden outputs
    BundleRejectedError       a version cannot be served, or made the active one; what served before still does
    BundleInUseError          the active version of the default bundle is not unloaded
"""

from __future__ import annotations

from semantic_palette.errors import SemanticPaletteError


class RuntimeServiceError(SemanticPaletteError):
    """Root of the errors raised while models are loaded or served."""


class OverloadError(RuntimeServiceError):
    """A model has too much to do to accept more.

    Attributes:
        model: name of the model.
        retry_after_seconds: when another attempt is expected to be accepted.
    """

    def __init__(self, model: str, reason: str, retry_after_seconds: float) -> None:
        super().__init__(f"{model}: {reason}; retry in {retry_after_seconds:.1f} s")
        self.model = model
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(OverloadError):
    """The queue of a model is full.

    Attributes:
        limit: the most items that may be queued, of those that compete with the one refused.
    """

    def __init__(self, model: str, limit: int, retry_after_seconds: float) -> None:
        super().__init__(model, f"{limit} items are queued already", retry_after_seconds)
        self.limit = limit


class WaitTooLongError(OverloadError):
    """What is queued before the item takes longer than anything shall wait.

    Attributes:
        wait_seconds: the estimated wait.
        limit_seconds: the longest that is accepted.
    """

    def __init__(self, model: str, wait_seconds: float, limit_seconds: float, retry_after_seconds: float) -> None:
        reason = f"the wait would be {wait_seconds:.1f} s, more than {limit_seconds:.1f} s"
        super().__init__(model, reason, retry_after_seconds)
        self.wait_seconds = wait_seconds
        self.limit_seconds = limit_seconds


class DeadlineUnmetError(RuntimeServiceError):
    """The caller's deadline cannot be met.

    Attributes:
        model: name of the model.
        needed_seconds: estimated time to the answer.
        left_seconds: time that the caller has left; negative once the deadline has passed.
    """

    def __init__(self, model: str, needed_seconds: float, left_seconds: float) -> None:
        super().__init__(self._describe(model, needed_seconds, left_seconds))
        self.model = model
        self.needed_seconds = needed_seconds
        self.left_seconds = left_seconds

    @staticmethod
    def _describe(model: str, needed_seconds: float, left_seconds: float) -> str:
        return f"{model}: the answer would take {needed_seconds:.3f} s, the deadline leaves {left_seconds:.3f} s"


class DeadlineExpiredError(DeadlineUnmetError):
    """The deadline passed while the item was queued; the model was not run for it."""

    @staticmethod
    def _describe(model: str, needed_seconds: float, left_seconds: float) -> str:
        return f"{model}: the deadline passed {-left_seconds:.3f} s ago, after {needed_seconds:.3f} s in the queue"


class DrainingError(RuntimeServiceError):
    """The model accepts nothing new because it is being drained or closed."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model}: stopping, accepts no new work")
        self.model = model


class EngineDiedError(RuntimeServiceError):
    """The engine of a model, or the device thread under it, died; nothing it was given will be answered.

    An engine may raise it from ``run`` to say that it is beyond repair, which is more than the failure of one batch.

    Attributes:
        model: name of the model, the engine or the device.
        reason: what happened.
        retry_after_seconds: when to try again; engines are restarted.
    """

    def __init__(self, model: str, reason: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"{model}: the engine died: {reason}")
        self.model = model
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    @property
    def public(self) -> str:
        """See `SemanticPaletteError.public`: what engines say of themselves may be anything."""
        return f"{self.model}: the engine died; it is restarted"


class InferenceError(RuntimeServiceError):
    """The model failed on this item alone.

    What the engine said is in ``reason`` and ``__cause__`` but not in the message, which callers get to see.
    """

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: the model failed on this item")
        self.model = model
        self.reason = reason


class EngineUnavailableError(RuntimeServiceError):
    """An engine cannot be used here, for a reason that has nothing to do with the model."""

    def __init__(self, engine: str, reason: str) -> None:
        super().__init__(f"engine {engine}: {reason}")
        self.engine = engine
        self.reason = reason


class EngineLoadError(RuntimeServiceError):
    """An engine cannot load a model file."""

    def __init__(self, engine: str, file: str, reason: str) -> None:
        super().__init__(f"engine {engine} cannot load {file}: {reason}")
        self.engine = engine
        self.file = file
        self.reason = reason


class EngineOutputError(RuntimeServiceError):
    """An engine returned other arrays than the manifest promises."""


class ParityError(RuntimeServiceError):
    """No allowed engine reproduces the golden outputs of a model; ``explanation`` has a line for each one tried."""

    def __init__(self, model: str, explanation: str) -> None:
        super().__init__(f"{model}: no engine reproduces the golden outputs:\n{explanation}")
        self.model = model
        self.explanation = explanation


class BundleRejectedError(RuntimeServiceError):
    """A version cannot be served, or cannot be made the active one; nothing has changed.

    Attributes:
        reference: ``name/version``.
        reason: why.
    """

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"bundle {reference}: {reason}")
        self.reference = reference
        self.reason = reason


class BundleInUseError(RuntimeServiceError):
    """The version is the active one of the default bundle, without which the server would have nothing to serve."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"bundle {name}/{version}: it is what requests get by default; activate another version first")
        self.name = name
        self.version = version
