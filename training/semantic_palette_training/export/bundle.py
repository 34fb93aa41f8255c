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
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.golden import golden_samples, write_golden
from semantic_palette_training.export.model_card import SAMPLE_SHEET, model_card
from semantic_palette_training.export.modules import Operation, image_operation, layout_operations
from semantic_palette_training.export.onnx import export_onnx, write_model, write_with_shared_weights
from semantic_palette_training.export.parity import check_parity, parity_cases
from semantic_palette_training.export.provenance import data_record, training_record
from semantic_palette_training.export.quality import measure_quality
from semantic_palette_training.export.sample_sheet import write_sample_sheet
from semantic_palette_training.export.sources import TrainedRun, read_run
from semantic_palette_training.export.torchscript import export_torchscript

LAYOUT_WEIGHTS = "layout.weights"
PALETTE_FILE = "palette.npz"
GOLDEN_FILE = "golden.npz"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def export_bundle(
    run: Path, model_store: Path, name: str, *, natural_samples: int = 2000, exact_samples: int = 64
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
    trained = read_run(run)
    train, heldout = (load_scenes(trained.data, split) for split in ("train", "val"))
    if train.digest() != trained.train_digest:
        raise ExportError(f"{run}: the scenes of {trained.data.name} are not those that the run was trained on")
    operations = (*layout_operations(trained.layout, trained.height, trained.width), image_operation(trained.image))
    with _staging(model_store / name) as root:
        models, torchscript = _write_models(operations, root)
        files = {key: (entry.file, torchscript[key].file) for key, entry in models.items()}
        parity = check_parity(root, files, parity_cases(operations, trained.palette_model))
        facts = {
            "models": models,
            "torchscript": torchscript,
            "parity": parity,
            **_write_arrays(trained, operations, heldout, root),
            "quality": measure_quality(
                root,
                operations[0],
                trained.palette_model,
                train,
                heldout,
                natural_samples=natural_samples,
                exact_samples=exact_samples,
            ),
            "data": data_record(trained, train, heldout),
        }
        sheet = (operations[0], operations[2], trained.palette_model, trained.label_space)
        write_sample_sheet(root / SAMPLE_SHEET, *sheet, f"{name}: the first samples, natural adherence")
        return _publish(root, trained, facts)


def _write_models(operations: tuple[Operation, ...], root: Path) -> tuple[dict[str, ModelEntry], dict[str, FileEntry]]:
    """Write every operation as ONNX and TorchScript; the layout models share their weights."""
    protos = {operation.name: export_onnx(operation) for operation in operations}
    shared = {f"{key}.onnx": protos[key] for key in ("layout", "layout_scores")}
    write_with_shared_weights(shared, root, LAYOUT_WEIGHTS)
    write_model(protos["image"], root / "image.onnx")
    (root / "torchscript").mkdir()
    models, torchscript = {}, {}
    for operation in operations:
        file = f"{operation.name}.onnx"
        models[operation.name] = ModelEntry(
            file=file,
            sha256=file_sha256(root / file),
            external_files={LAYOUT_WEIGHTS: file_sha256(root / LAYOUT_WEIGHTS)} if file in shared else {},
            inputs=list(operation.inputs),
            outputs=[operation.output],
            parameters=operation.parameters(),
            macs=operation.macs(),
        )
        script = f"torchscript/{operation.name}.pt"
        export_torchscript(operation, root / script)
        torchscript[operation.name] = _entry(root, script)
    return models, torchscript


def _write_arrays(
    trained: TrainedRun, operations: tuple[Operation, ...], heldout: Scenes, root: Path
) -> dict[str, FileEntry]:
    layout, _, image = operations
    trained.palette_model.save(root / PALETTE_FILE)
    write_golden(golden_samples(layout, image, trained.palette_model, heldout.labels), root / GOLDEN_FILE)
    return {"palette_model": _entry(root, PALETTE_FILE), "golden": _entry(root, GOLDEN_FILE)}


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
            height=trained.height,
            width=trained.width,
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
