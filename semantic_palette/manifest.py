"""Manifests: what a bundle is. Training writes them, services read them, and nothing else passes between the two.

A manifest names every file that is loaded with its sha256, so that the digest of the manifest stands for the whole
bundle. The model card and the sample sheet, which are for people, are made from it.

Schema 2 holds any subset of these operations (B the free batch axis, K classes, E = K + 1, H, W pixels, S style size):

    layout         z float32 [B, Z], palette float32 [B, K]                     -> labels uint8 [B, H, W]
    layout_scores  the same                                                     -> scores float32 [B, K, H, W]
    editor         z float32 [B, Z], labels uint8 [B, H, W], mask uint8 [B, H, W] (1 may change),
                   palette float32 [B, E], background last                      -> edited uint8 [B, H, W]
    image          labels uint8 [B, H, W], then z float32 [B, Z], or
                   styles float32 [B, K, S], or neither                         -> image uint8 [B, H, W, 3]
    style_encoder  image uint8 [B, H, W, 3], labels uint8 [B, H, W]             -> styles float32 [B, K, S]

and its golden.npz has an array `<operation>/<tensor>` for each of their inputs and outputs; operations may have
different numbers of golden samples (fewer where the output is large). The attribute `budget` of the editor says what
its palette means: `region` (shares of the region times its area; background is the rest of the frame) or `additions`
(what is to be added of each class, in shares of the frame; background is what stays). With an editor K is at most 255,
because its background has an id as well.

Schema 1 holds layout, layout_scores and image with z, and its golden.npz has the arrays palettes, z_layout, labels,
layouts, z_image and images.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from semantic_palette._operation_specs import check_operations
from semantic_palette._strict_json import inner_path, sha256_digest, strict_object
from semantic_palette.errors import BundleError, InvalidInputError, shorten
from semantic_palette.label_space import LabelSpace

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 2
"""What is written; older ones are read as well."""
READABLE_SCHEMAS = (1, 2)
BATCH_AXIS = "batch"
"""What the shapes of a manifest call the axis whose size is free."""

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
    attributes: dict[str, str] = field(default_factory=dict)
    """What its inputs mean where their names do not say it, such as `budget` of the editor; schema 2."""


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
    """By operation: layout, layout_scores, editor, image, style_encoder."""
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
    style_bank: FileEntry | None = None
    """Looks of training scenes, for a styled image operation: styles.npz with styles float32 [M, K, S] and present
    bool [M, K]; schema 2."""
    schema_version: int = SCHEMA_VERSION

    def files(self) -> Iterator[FileEntry]:
        """Yields every file that the manifest names."""
        yield self.palette_model
        for model in self.models.values():
            yield FileEntry(model.file, model.sha256)
            yield from (FileEntry(file, sha256) for file, sha256 in model.external_files.items())
        yield from self.torchscript.values()
        yield self.golden
        if self.style_bank:
            yield self.style_bank

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest as plain JSON values; `from_json` reads them."""
        # LabelSpace is not a dataclass: asdict deep-copies it, and its own form replaces the copy.
        data = asdict(self) | {"label_space": self.label_space.to_json()}
        # What is not used is not written, so that a manifest of schema 1 keeps its form.
        if self.style_bank is None:
            del data["style_bank"]
        for model in data["models"].values():
            if not model["attributes"]:
                del model["attributes"]
        return data

    @classmethod
    def from_json(cls, data: object) -> "Manifest":
        """Reads what `to_json` wrote, strictly.

        Raises:
            BundleError: Names the key that is missing, unknown, or of the wrong type or form; in schema 2 also what of
                an operation is not as the head of this module says.
        """
        schema = _schema_version(data)
        top = strict_object(data, "manifest", _TYPES, _NEW_TYPES if schema > 1 else {})
        try:
            label_space = LabelSpace.from_json(top["label_space"])
        except InvalidInputError as error:
            raise BundleError(f"manifest.{error}") from error
        for size in ("height", "width"):
            if top[size] < 1:
                raise BundleError(f"manifest.{size}: {top[size]} is not allowed; at least 1 pixel is")
        parsed: dict[str, Any] = {
            "label_space": label_space,
            "palette_model": _file(top["palette_model"], "manifest.palette_model"),
            "models": {k: _model(v, f"manifest.models.{k}", schema) for k, v in top["models"].items()},
            "torchscript": {k: _file(v, f"manifest.torchscript.{k}") for k, v in top["torchscript"].items()},
            "golden": _file(top["golden"], "manifest.golden"),
        }
        if "style_bank" in top:
            parsed["style_bank"] = _file(top["style_bank"], "manifest.style_bank")
        if schema > 1:
            check_operations(parsed["models"], label_space.num_classes, top["height"], top["width"])
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
_NEW_TYPES: dict[str, type] = {"style_bank": dict}
"""Optional keys of schema 2."""
_FILE_TYPES: dict[str, type] = {"file": str, "sha256": str}
_SPEC_TYPES: dict[str, type] = {"name": str, "dtype": str, "shape": list}
_MODEL_TYPES: dict[str, type] = _FILE_TYPES | {
    "external_files": dict,
    "inputs": list,
    "outputs": list,
    "parameters": int,
    "macs": int,
}
_NEW_MODEL_TYPES: dict[str, type] = {"attributes": dict}


def _schema_version(data: object) -> int:
    """The schema that the rest is read by, so that it is checked before the keys."""
    if not isinstance(data, dict):
        raise BundleError(f"manifest: {shorten(data)} is not allowed; an object is")
    if "schema_version" not in data:
        raise BundleError("manifest.schema_version is missing")
    version = data["schema_version"]
    if type(version) is not int or version not in READABLE_SCHEMAS:
        readable = " and ".join(map(str, READABLE_SCHEMAS))
        raise BundleError(f"manifest.schema_version: {shorten(version)} is not supported; {readable} are")
    return version


def _file(data: object, where: str) -> FileEntry:
    entry = strict_object(data, where, _FILE_TYPES)
    return FileEntry(inner_path(entry["file"], f"{where}.file"), sha256_digest(entry["sha256"], f"{where}.sha256"))


def _model(data: object, where: str, schema: int) -> ModelEntry:
    entry = strict_object(data, where, _MODEL_TYPES, _NEW_MODEL_TYPES if schema > 1 else {})
    external = {
        inner_path(file, f"{where}.external_files"): sha256_digest(sha256, f"{where}.external_files[{file}]")
        for file, sha256 in entry["external_files"].items()
    }
    for key, value in entry.get("attributes", {}).items():
        if not isinstance(value, str):
            raise BundleError(f"{where}.attributes[{key}]: {shorten(value)} is not allowed; str is")
    return ModelEntry(
        file=inner_path(entry["file"], f"{where}.file"),
        sha256=sha256_digest(entry["sha256"], f"{where}.sha256"),
        external_files=external,
        inputs=[_spec(spec, f"{where}.inputs[{i}]") for i, spec in enumerate(entry["inputs"])],
        outputs=[_spec(spec, f"{where}.outputs[{i}]") for i, spec in enumerate(entry["outputs"])],
        parameters=entry["parameters"],
        macs=entry["macs"],
        attributes=entry.get("attributes", {}),
    )


def _spec(data: object, where: str) -> TensorSpec:
    entry = strict_object(data, where, _SPEC_TYPES)
    for size in entry["shape"]:
        if type(size) not in (int, str):
            raise BundleError(f"{where}.shape: {shorten(size)} is not allowed; a size or the name of a free axis is")
    return TensorSpec(**entry)
