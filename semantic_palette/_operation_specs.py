"""What the operations of a bundle take and give, and whether a manifest says the same of its own.

Legend: B batch, K classes, E = K + 1 (background last), H, W height and width, Z latent size, S style size.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from semantic_palette.editing import Budget
from semantic_palette.errors import BundleError

if TYPE_CHECKING:
    from semantic_palette.manifest import ModelEntry, TensorSpec

_Signature = tuple[str, ...]

_INPUTS: dict[str, tuple[_Signature, ...]] = {
    "layout": (("z", "palette"),),
    "layout_scores": (("z", "palette"),),
    "editor": (("z", "labels", "mask", "palette"),),
    "image": (("labels", "z"), ("labels", "styles"), ("labels",)),
    "style_encoder": (("image", "labels"),),
}
"""By operation the names of its inputs, in order; each of what may be."""
_OUTPUTS = {
    "layout": "labels",
    "layout_scores": "scores",
    "editor": "edited",
    "image": "image",
    "style_encoder": "styles",
}
_TENSORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "z": ("float32", ("Z",)),
    "palette": ("float32", ("K",)),
    "labels": ("uint8", ("H", "W")),
    "mask": ("uint8", ("H", "W")),
    "edited": ("uint8", ("H", "W")),
    "scores": ("float32", ("K", "H", "W")),
    "image": ("uint8", ("H", "W", "3")),
    "styles": ("float32", ("K", "S")),
}
"""Type and axes after the batch's."""
_MAX_EDITED_CLASSES = 255
"""The background of an editor has an id too, and ids are 8 bits."""


def check_operations(models: Mapping[str, "ModelEntry"], num_classes: int, height: int, width: int) -> None:
    """Checks the models of a manifest of schema 2.

    Raises:
        BundleError: an operation or an editor's budget is unknown; a tensor has another name, type, order or shape than
            its operation's; the sizes of styles differ; or an editor has more classes than it can have.
    """
    sizes = {"K": num_classes, "H": height, "W": width, "3": 3}
    for operation, entry in models.items():
        where = f"manifest.models.{operation}"
        if operation not in _INPUTS:
            raise BundleError(f"{where} is no known operation; {', '.join(_INPUTS)} are")
        here = sizes
        if operation == "editor":
            Budget.of(entry.attributes)
            if num_classes > _MAX_EDITED_CLASSES:
                allowed = f"an editor has at most {_MAX_EDITED_CLASSES}"
                raise BundleError(f"{where}: {num_classes} classes are not allowed; {allowed}")
            here = sizes | {"K": num_classes + 1}
        _check_tensors(entry.inputs, _INPUTS[operation], here, f"{where}.inputs")
        _check_tensors(entry.outputs, ((_OUTPUTS[operation],),), here, f"{where}.outputs")
    tensors = [spec for entry in models.values() for spec in (*entry.inputs, *entry.outputs)]
    style_sizes = {str(spec.shape[-1]) for spec in tensors if spec.name == "styles"}
    if len(style_sizes) > 1:
        raise BundleError(
            f"manifest.models: styles of {' and '.join(sorted(style_sizes))} numbers; one size is allowed"
        )


def _check_tensors(
    specs: Sequence["TensorSpec"], signatures: Sequence[_Signature], sizes: Mapping[str, int], where: str
) -> None:
    names = tuple(spec.name for spec in specs)
    if names not in signatures:
        allowed = " or ".join(f"({', '.join(signature)})" for signature in signatures)
        raise BundleError(f"{where}: ({', '.join(names)}) is not allowed; {allowed} is")
    for i, spec in enumerate(specs):
        dtype, axes = _TENSORS[spec.name]
        if spec.dtype != dtype:
            raise BundleError(f"{where}[{i}].dtype: {spec.dtype!r} of {spec.name} is not allowed; {dtype!r} is")
        if not _is_shape(spec.shape, axes, sizes):
            wanted = ", ".join(["batch", *(str(sizes.get(axis, axis)) for axis in axes)])
            raise BundleError(f"{where}[{i}].shape: {spec.shape} of {spec.name} is not allowed; [{wanted}] is")


def _is_shape(shape: Sequence[int | str], axes: Sequence[str], sizes: Mapping[str, int]) -> bool:
    """Whether a shape is a free axis and then these; an axis without a size has any size from 1."""
    if len(shape) != 1 + len(axes) or not isinstance(shape[0], str):
        return False
    return all(
        isinstance(size, int) and (size == sizes[axis] if axis in sizes else size >= 1)
        for size, axis in zip(shape[1:], axes, strict=True)
    )
