"""Fixtures that the tests of the services share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import Tiny, write_tiny_bundle

from semantic_palette_services.runtime.store import BundleFiles, ModelStore


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store for tests that only read: the bundle "tiny" in version 1, which is active."""
    root = tmp_path_factory.mktemp("tiny") / "model_store"
    write_tiny_bundle(root)
    return root


@pytest.fixture(scope="session")
def tiny_files(tiny_root: Path) -> BundleFiles:
    """The bundle of `tiny_root`, verified."""
    return ModelStore(tiny_root).open()


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """The models of the bundle of `tiny_root`, in numpy."""
    return Tiny.create(seed=0, num_classes=6, height=16, width=32)


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """An empty place for a model store that a test writes to."""
    return tmp_path / "model_store"


@pytest.fixture(scope="session")
def poisoned_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store whose bundle "tiny" fails on items that are all of the class POISON_CLASS."""
    root = tmp_path_factory.mktemp("poisoned") / "model_store"
    write_tiny_bundle(root, poison=("layout", "image"))
    return root
