"""Which bundle a request gets, and how long a bundle stays in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from grpc_helpers import asynchronous, eventually

from semantic_palette.errors import BundleNotFoundError
from semantic_palette.label_space import CAMVID
from semantic_palette_services.bundle_selection import BundleMismatchError, BundleSelection
from semantic_palette_services.runtime import registry as registry_module
from semantic_palette_services.runtime.errors import BundleInUseError, DrainingError
from semantic_palette_services.runtime.held_bundle import BundleState
from semantic_palette_services.runtime.registry import BundleRegistry


@dataclass(eq=False)
class Bundle:
    """A bundle that is closed or not."""

    name: str
    version: str
    digest: str
    closed: bool = False
    label_space = CAMVID
    height = width = 1

    async def drain(self) -> None: ...

    async def close(self) -> None:
        self.closed = True


def registry_of(*bundles: Bundle, unload_delay: float = 0.0) -> BundleRegistry[Bundle]:
    registry: BundleRegistry[Bundle] = BundleRegistry(unload_delay, lambda *_: None)
    for bundle in bundles:
        registry.add(bundle)
    return registry


def wanted(name: str = "", version: str = "", digest: str = "") -> BundleSelection:
    return BundleSelection(name=name, version=version, digest=digest)


@asynchronous
async def test_requests_get_what_they_pin_or_what_is_active() -> None:
    old, new, faces = Bundle("street", "1", "aa"), Bundle("street", "2", "bb"), Bundle("faces", "1", "cc")
    registry = registry_of(old, new, faces)
    registry.activate(new)
    registry.activate(faces)
    for selection, bundle in (
        (wanted(), new),
        (wanted("street"), new),
        (wanted("faces"), faces),
        (wanted("street", version="1"), old),
        (wanted(version="1"), old),
        (wanted("street", digest="aa"), old),
        (wanted(digest="cc"), faces),
        (wanted("street", "1", "aa"), old),
    ):
        with registry.lease(selection) as found:
            assert found is bundle, selection


@asynchronous
async def test_of_a_version_whose_files_were_replaced_the_active_or_the_newer_one_answers() -> None:
    first, second = Bundle("street", "1", "aa"), Bundle("street", "1", "bb")
    registry = registry_of(first, second)
    with registry.lease(wanted("street", version="1")) as found:
        assert found is second
    registry.activate(first)
    with registry.lease(wanted("street", version="1")) as found:
        assert found is first


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (wanted("lake"), BundleNotFoundError, "'lake' is not served here; served: 'street'"),
        (wanted("faces"), BundleNotFoundError, "'faces' is not served here"),
        (wanted("lake", digest="aa"), BundleNotFoundError, "'lake' is not served here"),
        (wanted("street", digest="dd"), BundleMismatchError, "pinned to digest 'dd', this server serves 'aa, bb'"),
        (wanted(digest="dd"), BundleMismatchError, "pinned to digest 'dd'"),
        (wanted("street", version="3"), BundleMismatchError, "pinned to version '3', this server serves '1, 2'"),
        (wanted("street", "2", "aa"), BundleMismatchError, "pinned to version '2'"),
    ],
)
@asynchronous
async def test_what_is_not_in_memory_is_named(selection: BundleSelection, error: type[Exception], message: str) -> None:
    registry = registry_of(Bundle("street", "1", "aa"), Bundle("street", "2", "bb"), Bundle("faces", "1", "cc"))
    registry.activate(registry.held[0].bundle)
    with pytest.raises(error, match=message), registry.lease(selection):
        pass


@asynchronous
async def test_a_version_goes_when_its_last_request_has_ended() -> None:
    old, new = Bundle("street", "1", "aa"), Bundle("street", "2", "bb")
    registry = registry_of(old, new)
    registry.activate(old)
    with registry.lease(wanted()) as first:
        assert registry.activate(new) is old
        with registry.lease(wanted()) as second:
            assert (first, second) == (old, new)
        await asyncio.sleep(0.02)
        assert not old.closed
    await eventually(lambda: old.closed)
    assert [held.bundle for held in registry.held] == [new]
    with pytest.raises(BundleMismatchError), registry.lease(wanted(digest="aa")):
        pass
    await registry.close()
    assert new.closed


@asynchronous
async def test_a_retired_version_stays_while_requests_pin_it() -> None:
    old, new = Bundle("street", "1", "aa"), Bundle("street", "2", "bb")
    registry = registry_of(old, new, unload_delay=1.0)
    registry.activate(old)
    registry.activate(new)
    end = asyncio.get_running_loop().time() + 1.2
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.05)
        with registry.lease(wanted(digest="aa")) as found:
            assert found is old
    await eventually(lambda: old.closed)


@asynchronous
async def test_a_retired_version_that_is_activated_again_stays() -> None:
    old, new = Bundle("street", "1", "aa"), Bundle("street", "2", "bb")
    registry = registry_of(old, new, unload_delay=0.05)
    registry.activate(old)
    registry.activate(new, keep_previous=True)
    assert [held.state for held in registry.held] == [BundleState.LOADED, BundleState.ACTIVE]
    registry.activate(old)
    registry.activate(old)
    await eventually(lambda: new.closed)
    await asyncio.sleep(0.1)
    assert not old.closed
    assert registry.default is old


@asynchronous
async def test_a_retired_version_that_is_wanted_again_stays_until_it_is_unloaded() -> None:
    old, new = Bundle("street", "1", "aa"), Bundle("street", "2", "bb")
    registry = registry_of(old, new, unload_delay=0.05)
    registry.activate(old)
    with registry.lease(wanted()):
        registry.activate(new)
        registry.keep(old)
    registry.activate(old)
    registry.activate(new)
    registry.keep(old)
    registry.keep(new)
    await asyncio.sleep(0.1)
    assert [held.state for held in registry.held] == [BundleState.LOADED, BundleState.ACTIVE]
    assert await registry.unload(wanted("street", "1")) == 0
    assert (old.closed, new.closed) == (True, False)


@asynchronous
async def test_what_is_unloaded_is_closed_at_once_or_after_its_requests() -> None:
    old, new, faces = Bundle("street", "1", "aa"), Bundle("street", "2", "bb"), Bundle("faces", "1", "cc")
    registry = registry_of(old, new, faces, unload_delay=60)
    registry.activate(new)
    registry.activate(faces)
    assert await registry.unload(wanted("street", "1")) == 0
    assert old.closed
    with registry.lease(wanted("faces")):
        assert await registry.unload(wanted("faces", "1")) == 1
        with pytest.raises(BundleNotFoundError), registry.lease(wanted("faces")):
            pass
    await eventually(lambda: faces.closed)
    with pytest.raises(BundleInUseError, match="activate another version first"):
        await registry.unload(wanted("street", "2"))
    with pytest.raises(BundleNotFoundError, match="street/7: not loaded"):
        await registry.unload(wanted("street", "7"))


@asynchronous
async def test_by_force_a_version_goes_however_long_its_requests_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "FORCED_SECONDS", 0.1)
    old, new = Bundle("street", "1", "aa"), Bundle("street", "2", "bb")
    registry = registry_of(old, new, unload_delay=60)
    registry.activate(new)
    with registry.lease(wanted(version="1")):
        unloading = asyncio.create_task(registry.unload(wanted("street", "1"), force=True))
        await asyncio.sleep(0.02)
        with pytest.raises(DrainingError, match="street/1"), registry.lease(wanted(digest="aa")):
            pass
        assert await unloading == 0
        assert old.closed
    with registry.lease(wanted()) as found:
        assert found is new
