"""MODEL_CARD.md: what a bundle is, what it was made from, how good it is and what it is not for."""

from typing import Any

from semantic_palette.manifest import Manifest

SAMPLE_SHEET = "sample_sheet.png"
#: Below, a card says what little training means.
_LONG_TRAINING_HOURS = 24
#: Table 4 of the paper, last row: Cityscapes at 128x256 after 268,000 iterations.
PAPER_KL, PAPER_FSD = 0.07, 25.3


def model_card(manifest: Manifest) -> str:
    """The card as Markdown."""
    return (
        "\n\n".join(
            section.strip()
            for section in (
                _what(manifest),
                _data(manifest.data),
                _training(manifest),
                _quality(manifest),
                _parity(manifest.parity),
                _limits(manifest),
                _use(manifest),
            )
        )
        + "\n"
    )


_PARTS = {
    "layout": "a generator of layouts",
    "editor": "an editor of layouts",
    "image": "a generator of images from layouts",
    "style_encoder": "an encoder of looks and a bank of them",
}


def _what(manifest: Manifest) -> str:
    classes = ", ".join(manifest.label_space.names)
    parts = [text for operation, text in _PARTS.items() if operation in manifest.models]
    rows = [
        f"| `{entry.file}` | {_signature(entry.inputs)} | {_signature(entry.outputs)} "
        f"| {entry.parameters / 1e6:.2f} M | {entry.macs / 1e9:.2f} |"
        for entry in manifest.models.values()
    ]
    return f"""
# {manifest.name}, version {manifest.version}

Labelled scenes that follow class proportions (Le Moing et al., "Semantic Palette", CVPR 2021): {", ".join(parts)}
and a mixture model of palettes.

![what the bundle makes of its first samples]({SAMPLE_SHEET})

Size {manifest.height}x{manifest.width}. Classes of label space `{manifest.label_space.name}`: {classes}.
Made {manifest.created} with semantic-palette {manifest.package_version}.

| File | Inputs | Output | Parameters | GMAC a sample |
|---|---|---|---|---|
""" + "\n".join(rows)


def _signature(specs: list[Any]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} [{', '.join(map(str, spec.shape))}]" for spec in specs)


def _data(data: dict[str, Any]) -> str:
    scenes = data["scenes"]
    return f"""
## Training data and licence

{data["title"]}: {data["kind"]}. {scenes["train"]} scenes were trained on; {scenes["heldout"]} were held out.

- Licence of the data: {data["licence"]} ({data["use"]}).
- Licence of these weights: {data["weights_licence"]}.
- Citation: {data["citation"]}
- Digest of the training scenes: `{data["train_digest"]}`
"""


def _training(manifest: Manifest) -> str:
    stages = manifest.training["stages"]
    description = manifest.training["recipe"].get("description", "")
    rows = [
        f"| {stage} | {record['steps']} | {record['images_seen']} | {record['seconds'] / 60:.0f} min "
        f"| {', '.join(dict.fromkeys(str(session['device']) for session in record['sessions']))} |"
        for stage, record in stages.items()
        if "steps" in record
    ]
    palette = stages["palette"]
    mixture = f"{palette['components']}, chosen by {palette['criterion']}"
    return f"""
## Training

{description}

| Stage | Updates | Real scenes seen | Time | On |
|---|---|---|---|---|
{chr(10).join(rows)}

Pauses between sessions are left out of the time. The palette model is a mixture of Gaussians: {mixture}.
The weights are exponential moving averages, unless a stage's `average_decay` is 0. The resolved recipe is in
`manifest.json`.
"""


def _quality(manifest: Manifest) -> str:
    quality = manifest.quality
    parts = [
        "## Quality, as measured",
        f"Measured on the exported files with {quality['engine']}. KL is KL(requested || achieved) in nats with the "
        "smoothing of the paper's tables.",
    ]
    if "natural" in quality:
        parts.append(_layout_quality(quality).strip())
    if "edits" in quality:
        parts.append(_edit_quality(quality["edits"]).strip())
    if "image" in manifest.models:
        parts.append(
            "The realism of the images was **not measured**: an FID needs pretrained Inception weights, which this "
            "project does not have. Judge by the sample sheet."
        )
    return "\n\n".join(parts)


def _layout_quality(quality: dict[str, Any]) -> str:
    natural, exact = quality["natural"], quality["exact"]
    copies = quality["nearest_training_layout"]
    return f"""
Layouts for palettes of the palette model; FSD is on percentages, against the training layouts.

| Adherence | Layouts | Mean KL | Median KL | Worst KL | Met to the pixel |
|---|---|---|---|---|---|
| natural (arg-max, the default) | {_adherence(natural)} |
| exact (integer budgets) | {_adherence(exact)} |

- FSD of natural layouts: {natural["fsd"]:.2f}; of the requested palettes themselves: {natural["fsd_palettes"]:.2f}.
- The paper reports a mean KL of {PAPER_KL} and an FSD of {PAPER_FSD} on Cityscapes at 128x256 after 268,000 iterations.
  That is a yardstick, not a comparison, because the data differ.
- Copying, as the share of pixels that differ from the nearest training layout or its mirror image: generated layouts
  {_distance(copies["generated"])}; held-out real layouts {_distance(copies["heldout"])}.
"""


def _edit_quality(edits: dict[str, Any]) -> str:
    return f"""
Edits of held-out layouts, each towards what another held-out layout has in the same region; KL is of the region.

| Edits | Mean KL | Median KL | Worst KL | Mean KL if nothing were edited | Pixels changed |
|---|---|---|---|---|---|
| {edits["count"]} | {edits["kl_mean"]:.2g} | {edits["kl_median"]:.2g} | {edits["kl_worst"]:.2g} \
| {edits["kl_unedited"]:.2g} | {edits["changed"]:.0%} |

Outside of the region nothing changes, pixel for pixel.
"""


def _adherence(values: dict[str, Any]) -> str:
    kls = (f"{values[key]:.2g}" for key in ("kl_mean", "kl_median", "kl_worst"))
    return f"{values['count']} | {' | '.join(kls)} | {values['exact_share']:.0%}"


def _distance(values: dict[str, Any]) -> str:
    return f"median {values['median']:.1%}, least {values['least']:.1%} (of {values['count']})"


def _parity(parity: dict[str, Any]) -> str:
    rows = []
    for name, engines in parity["operations"].items():
        for engine, metrics in engines.items():
            rows.append(f"| {name} | {engine} | {_agreement(metrics)} | {'yes' if metrics['passed'] else 'no'} |")
    sizes = ", ".join(map(str, parity["batch_sizes"]))
    return f"""
## Agreement with the trained networks

Worst of batch sizes {sizes}, inputs as in use. Identical images count as 100 dB.
Serving decides anew, on the golden samples and on its own machine, which engines and precisions it accepts.

| Operation | Engine | Agreement | Accepted |
|---|---|---|---|
""" + "\n".join(rows)


def _agreement(metrics: dict[str, Any]) -> str:
    if "psnr_db" in metrics:
        return f"{metrics['psnr_db']:.1f} dB"
    if "style_error" in metrics:
        return f"codes within {metrics['style_error']:.1e} of the largest"
    return f"{metrics['equal_pixels']:.3%} of pixels, KL changes by {metrics['kl_change']:.1e}"


def _limits(manifest: Manifest) -> str:
    stages = manifest.training["stages"].values()
    hours = sum(record["seconds"] for record in stages if "seconds" in record) / 3600
    scenes = manifest.data["scenes"]["train"]
    limits = []
    if hours < _LONG_TRAINING_HOURS:
        limits.append(
            f"The networks trained for {60 * hours:.0f} minutes in all, where published ones train for days: expect "
            "blurry textures, and small objects that are smeared or missing."
        )
    limits += [
        f"Scenes are {manifest.height}x{manifest.width}, and nothing finer was learned.",
        f"What the {scenes} training scenes lack cannot be generated, and few scenes are repeated more than many.",
    ]
    if "layout" in manifest.models:
        limits.append(
            "Natural adherence is close, not exact; palettes far from the training data are met worse and look less "
            "real. Exact adherence meets any palette, also where no plausible scene does."
        )
    if "editor" in manifest.models:
        limits.append("Edits that ask for what the data never has in such a place are met worse and look less real.")
    if "image" in manifest.models:
        limits.append(
            "The label map is what the image was made from, not an annotation of it: where the image generator ignores "
            "a small object, the label is still there."
        )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _use(manifest: Manifest) -> str:
    return f"""
## Use

Intended: demonstrations and tests of the factory, research on data synthesis steered by class proportions, augmentation
experiments where the gain is measured on real data. Terms: {manifest.data["weights_licence"]}.

Not intended: evaluating perception systems, safety-relevant decisions, or standing in for real data unmeasured.
"""
