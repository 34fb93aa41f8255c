"""What a line of pairs.jsonl says of an edit, as plain JSON values."""

import base64
from dataclasses import asdict
from typing import Any

from semantic_palette.editing import Box
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import EditedPair
from semantic_palette.palette import shares_from_palette


def describe_edit(pair: EditedPair, space: LabelSpace) -> dict[str, Any]:
    """The origin of an edited pair, as `EditOrigin` has it, and what became of the region.

    A region is null (the whole frame), a box, or `{"mask": ...}`: a PNG in base64.
    """
    origin = pair.provenance.edit
    assert origin is not None, "an edited pair has an origin"
    region: dict[str, Any] | None = None
    if isinstance(origin.region, Box):
        region = asdict(origin.region)
    elif origin.region is not None:
        region = {"mask": base64.b64encode(origin.region).decode()}
    return {
        "source": origin.source,
        "labels_sha256": origin.labels_sha256,
        "image_sha256": origin.image_sha256,
        "look": {"seed": origin.seed, "index": origin.index},
        "region": region,
        "target": None if origin.target is None else dict(origin.target),
        "deltas": None if origin.deltas is None else dict(origin.deltas),
        "requested": shares_from_palette(space, pair.region.requested),
        "achieved": shares_from_palette(space, pair.region.achieved),
        "kl": pair.region.kl,
        "area": pair.region.area,
    }
