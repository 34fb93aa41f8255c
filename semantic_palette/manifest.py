"""Manifests: what a bundle is. Training writes them, services read them, and nothing else passes between the two.

A manifest names every file that is loaded with its sha256, so that the digest of the manifest stands for the whole
bundle. The model card and the sample sheet, which are for people, are made from it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from semantic_palette.errors import BundleError, InvalidInputError, shorten
from semantic_palette.label_space import LabelSpace

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
BATCH_AXIS = "batch"
"""What the shapes of a manifest call the axis whose size is free."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or an output of a model."""

    name: str
    dtype: str
    """numpy's name of the type."""
    shape: list[int | str]
    """Sizes in order; a free axis has a name, such as `batch`."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a bundle."""

    file: str
    """Path relative to the bundle, with `/`."""
    sha256: str
    """Hex digest of the content."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An ONNX model of a bundle."""

    file: str
    sha256: str
    external_files: dict[str, str]
    """Files that hold the weights: path to hex digest."""
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    parameters: int
    """Number of weights."""
    macs: int
    """Multiply-accumulate operations a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`."""

    name: str
    version: str
    label_space: LabelSpace
    height: int
    """Height of layouts and images, in pixels."""
    width: int
    """Width of layouts and images, in pixels."""
    palette_model: FileEntry
    models: dict[str, ModelEntry]
    """By operation: layout, layout_scores, image."""
    torchscript: dict[str, FileEntry]
    golden: FileEntry
    training: dict[str, Any]
    """The resolved recipe."""
    data: dict[str, Any]
    """name, licence and use of the training data."""
    quality: dict[str, Any]
    """Measured quality, by metric."""
    parity: dict[str, Any]
    """Agreement of every exported file with the eager model."""
    created: str
    """ISO 8601, UTC."""
    package_version: str
    schema_version: int = SCHEMA_VERSION

    def files(self) -> Iterator[FileEntry]:
        """Yields every file that the manifest names."""
        yield self.palette_model
        for model in self.models.values():
            yield FileEntry(model.file, model.sha256)
            yield from (FileEntry(file, sha256) for file, sha256 in model.external_files.items())
        yield from self.torchscript.values()
        yield self.golden

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest as plain JSON values; `from_json` reads them."""
        # LabelSpace is not a dataclass: asdict deep-copies it, and its own form replaces the copy.
        return asdict(self) | {"label_space": self.label_space.to_json()}

    @classmethod
    def from_json(cls, data: object) -> "Manifest":
        """Reads what `to_json` wrote, strictly.

        Raises:
            BundleError: Names the key that is missing, unknown, or of the wrong type or form.
        """
        top = _object(data, "manifest", _TYPES)
        if top["schema_version"] != SCHEMA_VERSION:
            raise BundleError(f"manifest.schema_version: {top['schema_version']} is not supported; {SCHEMA_VERSION} is")
        try:
            label_space = LabelSpace.from_json(top["label_space"])
        except InvalidInputError as error:
            raise BundleError(f"manifest.{error}") from error
        for size in ("height", "width"):
            if top[size] < 1:
                raise BundleError(f"manifest.{size}: {top[size]} is not allowed; at least 1 pixel is")
        parsed = {
            "label_space": label_space,
            "palette_model": _file(top["palette_model"], "manifest.palette_model"),
            "models": {k: _model(v, f"manifest.models.{k}") for k, v in top["models"].items()},
            "torchscript": {k: _file(v, f"manifest.torchscript.{k}") for k, v in top["torchscript"].items()},
            "golden": _file(top["golden"], "manifest.golden"),
        }
        return cls(**{**top, **parsed})

    def write(self, path: Path) -> None:
        """Writes the manifest as JSON with sorted keys."""
        text = json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Reads a manifest.

        Raises:
            BundleError: When the file cannot be read, is not JSON, or is not a manifest.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: cannot be read as JSON: {error}") from error
        return cls.from_json(data)


def manifest_digest(path: Path) -> str:
    """Returns the digest of a bundle: the hex sha256 of the bytes of its manifest.json."""
    return file_sha256(path)


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file.

    Raises:
        BundleError: When the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    return digest.hexdigest()


def verify_files(root: Path, manifest: Manifest) -> None:
    """Checks every file of the bundle in folder `root` against its digest.

    Raises:
        BundleError: Names the file with the expected and the actual digest, or says that it cannot be read.
    """
    for entry in dict.fromkeys(manifest.files()):
        actual = file_sha256(Path(root) / entry.file)
        if actual != entry.sha256:
            raise BundleError(f"{entry.file}: sha256 is {actual}, but the manifest says {entry.sha256}")


_TYPES: dict[str, type] = {
    "schema_version": int,
    "name": str,
    "version": str,
    "label_space": dict,
    "height": int,
    "width": int,
    "palette_model": dict,
    "models": dict,
    "torchscript": dict,
    "golden": dict,
    "training": dict,
    "data": dict,
    "quality": dict,
    "parity": dict,
    "created": str,
    "package_version": str,
}
_FILE_TYPES: dict[str, type] = {"file": str, "sha256": str}
_SPEC_TYPES: dict[str, type] = {"name": str, "dtype": str, "shape": list}
_MODEL_TYPES: dict[str, type] = _FILE_TYPES | {
    "external_files": dict,
    "inputs": list,
    "outputs": list,
    "parameters": int,
    "macs": int,
}


def _object(data: object, where: str, types: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BundleError(f"{where}: {shorten(data)} is not allowed; an object is")
    for key in sorted(types.keys() - data.keys()):
        raise BundleError(f"{where}.{key} is missing")
    for key in sorted(data.keys() - types.keys()):
        raise BundleError(f"{where}.{key} is not a known key")
    for key, expected in types.items():
        # Not isinstance: a JSON `true` is an int to Python.
        if type(data[key]) is not expected:
            raise BundleError(f"{where}.{key}: {shorten(data[key])} is not allowed; {expected.__name__} is")
    return data


def _file(data: object, where: str) -> FileEntry:
    entry = _object(data, where, _FILE_TYPES)
    return FileEntry(_path(entry["file"], f"{where}.file"), _digest(entry["sha256"], f"{where}.sha256"))


def _model(data: object, where: str) -> ModelEntry:
    entry = _object(data, where, _MODEL_TYPES)
    external = {
        _path(file, f"{where}.external_files"): _digest(sha256, f"{where}.external_files[{file}]")
        for file, sha256 in entry["external_files"].items()
    }
    return ModelEntry(
        file=_path(entry["file"], f"{where}.file"),
        sha256=_digest(entry["sha256"], f"{where}.sha256"),
        external_files=external,
        inputs=[_spec(spec, f"{where}.inputs[{i}]") for i, spec in enumerate(entry["inputs"])],
        outputs=[_spec(spec, f"{where}.outputs[{i}]") for i, spec in enumerate(entry["outputs"])],
        parameters=entry["parameters"],
        macs=entry["macs"],
    )


def _spec(data: object, where: str) -> TensorSpec:
    entry = _object(data, where, _SPEC_TYPES)
    for size in entry["shape"]:
        if type(size) not in (int, str):
            raise BundleError(f"{where}.shape: {shorten(size)} is not allowed; a size or the name of a free axis is")
    return TensorSpec(**entry)


def _path(file: str, where: str) -> str:
    path = PurePosixPath(file)
    outside = path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file
    if outside or not path.parts:
        raise BundleError(f"{where}: {shorten(file)} is not allowed; a path within the bundle is")
    return file


def _digest(sha256: object, where: str) -> str:
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BundleError(f"{where}: {shorten(sha256)} is not allowed; 64 lower-case hex digits are")
    return sha256
