"""A run to a bundle: the next version in a model store, complete and checked, or nothing at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import MANIFEST_NAME, FileEntry, Manifest, ModelEntry, file_sha256, verify_files
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.golden import GOLDEN_SEED, golden_samples, write_golden
from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.model_card import SAMPLE_SHEET, model_card
from semantic_palette_training.export.onnx import export_onnx, write_with_weights
from semantic_palette_training.export.operations import (
    Operation,
    editor_operation,
    image_operations,
    layout_operations,
)
from semantic_palette_training.export.parity import PARITY_SEED, check_parity, parity_cases
from semantic_palette_training.export.provenance import data_record, training_record
from semantic_palette_training.export.quality import SampleCounts, measure_quality
from semantic_palette_training.export.sample_sheet import write_sample_sheet
from semantic_palette_training.export.sources import TrainedRun, read_run
from semantic_palette_training.export.style_bank import write_style_bank
from semantic_palette_training.export.torchscript import export_torchscript
from semantic_palette_training.models.editor import LayoutEditor
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.progressive import LayoutGenerator

PALETTE_FILE = "palette.npz"
GOLDEN_FILE = "golden.npz"
STYLE_BANK_FILE = "styles.npz"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def export_bundle(
    run: Path,
    model_store: Path,
    name: str,
    *,
    natural_samples: int = 2000,
    exact_samples: int = 64,
    edit_samples: int = 256,
) -> Path:
    """Export a run as the next version of a bundle; no version is overwritten and none is activated.

    Everything is written to a hidden folder beside the versions, checked there, and renamed as the last step, so that
    a version is either whole or absent.

    Args:
        run: folder that training wrote.
        model_store: folder of bundles; made if it is missing.
        name: of the bundle: lower-case letters, digits, `.`, `_` and `-`.
        natural_samples: layouts on which natural adherence is measured; the paper's protocol has 2,000.
        exact_samples: layouts on which exact adherence is measured.
        edit_samples: edits on which the editor is measured.

    Returns:
        The folder of the new version.

    Raises:
        InvalidInputError: the name is not allowed.
        ExportError: a checkpoint is missing or unusable, or a network cannot be exported.
        ParityError: an exported file does not do what the trained network does.
        DataError: the scenes that quality is measured against cannot be loaded.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError("bundle", name, "lower-case letters, digits, '.', '_' and '-' are allowed, at most 64")
    counts = SampleCounts(natural_samples, exact_samples, edit_samples)
    trained = read_run(run)
    train, heldout = (load_scenes(trained.data, split) for split in ("train", "val"))
    if train.digest() != trained.manifest.train_digest:
        raise ExportError(f"{run}: the scenes of {trained.data.name} are not those that the run was trained on")
    operations = operations_of(trained)
    golden, other = (
        InputSource(operations, trained.palette_model, heldout, seed) for seed in (GOLDEN_SEED, PARITY_SEED)
    )
    with _staging(model_store / name) as root:
        models, torchscript = _write_models(operations, root)
        facts = {
            "models": models,
            "torchscript": torchscript,
            "parity": check_parity(root, operations, parity_cases(operations, other)),
            **_write_arrays(trained.palette_model, operations, golden, train, root),
            "quality": measure_quality(root, operations, trained.palette_model, train, heldout, counts),
            "data": data_record(trained, train, heldout),
        }
        write_sample_sheet(root / SAMPLE_SHEET, operations, golden, trained.label_space, name)
        return _publish(root, trained, facts)


def operations_of(trained: TrainedRun) -> dict[str, Operation]:
    """The operations that a run's models make, by name."""
    operations: list[Operation] = []
    for model in trained.models.values():
        match model.network:
            case LayoutGenerator() as generator:
                operations += layout_operations(generator)
            case LayoutEditor() as editor:
                operations.append(editor_operation(editor))
            case LayoutToImage() as generator:
                operations += image_operations(generator)
    return {operation.name: operation for operation in operations}


def _write_models(
    operations: Mapping[str, Operation], root: Path
) -> tuple[dict[str, ModelEntry], dict[str, FileEntry]]:
    """Write every operation as ONNX and TorchScript; operations of one network share its weights."""
    (root / "torchscript").mkdir()
    models, torchscript = {}, {}
    for stem in dict.fromkeys(operation.weights for operation in operations.values()):
        sharing = [operation for operation in operations.values() if operation.weights == stem]
        weights = f"{stem}.weights"
        write_with_weights({f"{one.name}.onnx": export_onnx(one) for one in sharing}, root, weights)
        for operation in sharing:
            models[operation.name] = _model_entry(operation, root, weights)
            script = f"torchscript/{operation.name}.pt"
            export_torchscript(operation, root / script)
            torchscript[operation.name] = _entry(root, script)
    return models, torchscript


def _model_entry(operation: Operation, root: Path, weights: str) -> ModelEntry:
    file = f"{operation.name}.onnx"
    return ModelEntry(
        file=file,
        sha256=file_sha256(root / file),
        external_files={weights: file_sha256(root / weights)},
        inputs=list(operation.inputs),
        outputs=[operation.output],
        parameters=operation.parameters(),
        macs=operation.macs(),
        attributes=operation.attributes,
    )


def _write_arrays(
    palette_model: PaletteModel, operations: Mapping[str, Operation], golden: InputSource, train: Scenes, root: Path
) -> dict[str, FileEntry]:
    palette_model.save(root / PALETTE_FILE)
    write_golden(golden_samples(operations, golden), root / GOLDEN_FILE)
    entries = {"palette_model": _entry(root, PALETTE_FILE), "golden": _entry(root, GOLDEN_FILE)}
    if "style_encoder" in operations:
        write_style_bank(operations["style_encoder"], train, root / STYLE_BANK_FILE)
        entries["style_bank"] = _entry(root, STYLE_BANK_FILE)
    return entries


def _entry(root: Path, file: str) -> FileEntry:
    return FileEntry(file, file_sha256(root / file))


def _publish(root: Path, trained: TrainedRun, facts: Mapping[str, Any]) -> Path:
    """Write manifest and card for the next free version beside `root`, verify the whole and rename it to that."""
    bundle = root.parent
    while True:
        number = _next_version(bundle)
        manifest = Manifest(
            name=bundle.name,
            version=str(number),
            label_space=trained.label_space,
            height=trained.shape.height,
            width=trained.shape.width,
            training=training_record(trained),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            package_version=package_version("semantic-palette"),
            **facts,
        )
        manifest.write(root / MANIFEST_NAME)
        (root / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        verify_files(root, Manifest.read(root / MANIFEST_NAME))
        target = bundle / str(number)
        try:
            # Fails where another export has just taken this version: a folder that holds files is never replaced.
            os.rename(root, target)
        except OSError:
            if not target.exists():
                raise
            continue
        return target


def _next_version(bundle: Path) -> int:
    return 1 + max((int(path.name) for path in bundle.iterdir() if path.name.isdecimal()), default=0)


@contextmanager
def _staging(bundle: Path) -> Iterator[Path]:
    """A hidden folder beside the versions of a bundle, removed with its content unless it was renamed."""
    bundle.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=".export-", dir=bundle))
    try:
        # mkdtemp makes folders for the owner alone; services run as another user.
        root.chmod(0o755)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if not any(bundle.iterdir()):
            bundle.rmdir()
