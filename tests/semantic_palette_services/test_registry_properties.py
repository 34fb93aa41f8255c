"""Whatever requests and operators do to a registry, in whatever order: nobody loses the bundle under a request."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from test_registry import Bundle, registry_of, wanted

from semantic_palette.errors import BundleNotFoundError
from semantic_palette_services.bundle_selection import BundleMismatchError
from semantic_palette_services.runtime.errors import BundleInUseError
from semantic_palette_services.runtime.held_bundle import BundleState

NAMES = st.sampled_from(["street", "faces"])
NUMBERS = st.integers(0, 1_000_000)
OPTIONS = settings(max_examples=60, stateful_step_count=25, deadline=None)


class RegistryMachine(RuleBasedStateMachine):
    """Two bundles, their versions, and requests that hold some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.registry = registry_of()
        self.count = 0
        self.requests: list[tuple[ExitStack, Bundle]] = []
        self.load("street")
        self.activate(0)

    def in_memory(self) -> list[Bundle]:
        return [held.bundle for held in self.registry.held]

    def settle(self) -> None:
        """Let what is to be closed be closed."""

        async def wait() -> None:
            for _ in range(100):
                await asyncio.sleep(0)

        self.runner.run(wait())

    @rule(name=NAMES)
    def load(self, name: str) -> None:
        self.count += 1
        self.registry.add(Bundle(name, str(self.count), f"{self.count:02x}"))

    @rule(number=NUMBERS, keep=st.booleans())
    def activate(self, number: int, keep: bool = False) -> None:
        async def change() -> None:
            bundle = self.in_memory()[number % len(self.in_memory())]
            self.registry.activate(bundle, keep_previous=keep)

        self.runner.run(change())

    @rule(number=NUMBERS)
    def unload(self, number: int) -> None:
        bundle = self.in_memory()[number % len(self.in_memory())]
        held = sum(one is bundle for _, one in self.requests)
        is_default = bundle is self.registry.default
        try:
            left = self.runner.run(self.registry.unload(wanted(bundle.name, bundle.version)))
        except BundleInUseError:
            assert is_default
        else:
            assert not is_default
            assert left == held
            assert bundle.closed == (held == 0)

    @rule(name=NAMES)
    def request(self, name: str) -> None:
        self.begin(wanted(name))

    @rule(number=NUMBERS)
    def pinned_request(self, number: int) -> None:
        self.begin(wanted(digest=f"{number % self.count + 1:02x}"))

    def begin(self, selection: object) -> None:
        async def enter() -> None:
            stack = ExitStack()
            try:
                bundle = stack.enter_context(self.registry.lease(selection))  # type: ignore[arg-type]
            except (BundleNotFoundError, BundleMismatchError):
                return
            assert not bundle.closed
            self.requests.append((stack, bundle))

        self.runner.run(enter())

    @precondition(lambda self: self.requests)
    @rule(number=NUMBERS)
    def end(self, number: int) -> None:
        async def leave() -> None:
            self.requests.pop(number % len(self.requests))[0].close()

        self.runner.run(leave())

    @invariant()
    def what_a_request_holds_is_open_and_what_nobody_wants_is_closed(self) -> None:
        self.settle()
        assert not any(bundle.closed for _, bundle in self.requests)
        assert not any(bundle.closed for bundle in self.in_memory())
        for held in self.registry.held:
            assert held.leases == sum(bundle is held.bundle for _, bundle in self.requests)
            assert held.leases > 0 or held.state is not BundleState.RETIRED
        active = [held.bundle.name for held in self.registry.held if held.state is BundleState.ACTIVE]
        assert len(set(active)) == len(active)
        assert self.registry.default_name in active

    def teardown(self) -> None:
        everything = self.in_memory()
        self.runner.run(self.registry.close())
        assert all(bundle.closed for bundle in everything)
        for stack, _ in self.requests:
            stack.close()
        self.runner.close()


@pytest.fixture(autouse=True)
def no_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is not what is tested here, and collecting it takes time."""
    monkeypatch.setattr("semantic_palette_services.runtime.registry.release_memory", lambda: None)


def test_no_request_loses_its_bundle_and_no_bundle_outstays_its_requests() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        RegistryMachine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )
