"""MODEL_CARD.md: what a bundle is, what it was made from, how good it is and what it is not for."""

from typing import Any

from semantic_palette.manifest import Manifest

SAMPLE_SHEET = "sample_sheet.png"
#: Table 1 of the paper, CamVid has no row of its own: what the authors report on Cityscapes after 268k iterations.
PAPER_KL = 0.07


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


def _what(manifest: Manifest) -> str:
    classes = ", ".join(manifest.label_space.names)
    rows = [
        f"| `{entry.file}` | {_signature(entry.inputs)} | {_signature(entry.outputs)} "
        f"| {entry.parameters / 1e6:.2f} M | {entry.macs / 1e9:.2f} |"
        for entry in manifest.models.values()
    ]
    return f"""
# {manifest.name}, version {manifest.version}

Labelled street scenes that follow class proportions: a layout generator with semantically-assisted activation
(Le Moing et al., "Semantic Palette", CVPR 2021), a generator of images from layouts, and a mixture model of palettes.

![layouts, images, and requested and achieved proportions]({SAMPLE_SHEET})

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
        f"| {stage} | {stages[stage]['steps']} | {stages[stage]['seconds'] / 60:.0f} min |"
        for stage in ("layout", "image")
    ]
    palette = stages["palette"]
    return f"""
## Training

{description}

| Stage | Updates | Time |
|---|---|---|
{chr(10).join(rows)}

The palette model has {palette["components"]} Gaussian components, chosen by {palette["criterion"]}. The weights are
exponential moving averages. The resolved recipe is in `manifest.json`.
"""


def _quality(manifest: Manifest) -> str:
    quality = manifest.quality
    natural, exact = quality["natural"], quality["exact"]
    copies = quality["nearest_training_layout"]
    return f"""
## Quality, as measured

Measured on the exported files with {quality["engine"]}. Palettes come from the palette model. KL is
KL(requested || achieved) in nats with the smoothing of the paper's tables; FSD is on percentages, against the training
layouts.

| Adherence | Layouts | Mean KL | Median KL | Worst KL | Met to the pixel |
|---|---|---|---|---|---|
| natural (arg-max, the default) | {_adherence(natural)} |
| exact (integer budgets) | {_adherence(exact)} |

- FSD of natural layouts: {natural["fsd"]:.2f}; of the requested palettes themselves: {natural["fsd_palettes"]:.2f}.
- The paper reports a mean KL of {PAPER_KL} after 268,000 iterations at another scale and on other data: it is a
  yardstick, not a comparison.
- Copying: a generated layout differs from the nearest training layout or its mirror image in
  {copies["generated"]["median"]:.1%} of the pixels (median of {copies["generated"]["count"]}; least
  {copies["generated"]["least"]:.1%}); held-out real layouts do in {copies["heldout"]["median"]:.1%}
  (least {copies["heldout"]["least"]:.1%}).
- The realism of the images was **not measured**: an FID needs pretrained Inception weights, which this project does
  not have. Judge by the sample sheet.
"""


def _adherence(values: dict[str, Any]) -> str:
    kls = (f"{values[key]:.2g}" for key in ("kl_mean", "kl_median", "kl_worst"))
    return f"{values['count']} | {' | '.join(kls)} | {values['exact_share']:.0%}"


def _parity(parity: dict[str, Any]) -> str:
    rows = []
    for name, engines in parity["operations"].items():
        for engine, metrics in engines.items():
            agreement = (
                f"{metrics['psnr_db']:.1f} dB" if "psnr_db" in metrics else f"{metrics['equal_pixels']:.3%} of pixels"
            )
            rows.append(f"| {name} | {engine} | {agreement} | {'yes' if metrics['passed'] else 'no: not used'} |")
    sizes = ", ".join(map(str, parity["batch_sizes"]))
    return f"""
## Agreement with the trained networks

Worst of batch sizes {sizes}, random inputs. Identical images count as 100 dB.

| Operation | Engine | Agreement | Accepted |
|---|---|---|---|
""" + "\n".join(rows)


def _limits(manifest: Manifest) -> str:
    minutes = sum(manifest.training["stages"][stage]["seconds"] for stage in ("layout", "image")) / 60
    scenes = manifest.data["scenes"]["train"]
    return f"""
## Limits

- {minutes:.0f} minutes of training. Roads, sky, buildings and trees are recognisable; textures are blurry and small
  objects (poles, signs, pedestrians) are smeared or missing.
- Images are {manifest.height}x{manifest.width}, and nothing finer was learned.
- {scenes} training scenes are few: layouts can resemble training layouts closely (see Copying above), and what the
  data lacks (other cities, nights, weather) cannot be generated.
- Natural adherence is close, not exact; palettes far from the training data are met worse and look less real. Exact
  adherence meets any palette, also where no plausible scene does.
- The label map is what the image was made from, not an annotation of it: where the image generator ignores a small
  object, the label is still there.
"""


def _use(manifest: Manifest) -> str:
    return f"""
## Use

Intended: demonstrations and tests of the factory, research on data synthesis steered by class proportions, augmentation
experiments where the gain is measured on real data. Terms: {manifest.data["weights_licence"]}.

Not intended: evaluating perception systems, safety-relevant decisions, or standing in for real data unmeasured.
"""
