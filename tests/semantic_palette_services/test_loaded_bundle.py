"""A bundle that answers: real graphs, real engines, one device."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_observer import RecordingObserver
from tiny_bundle import BASIC, FACES, POISON_CLASS, Tiny, write_tiny_bundle

from semantic_palette.errors import BundleError, InvalidInputError
from semantic_palette_services.bundle_selection import MissingOperationError
from semantic_palette_services.runtime.engines.onnxruntime import OnnxRuntimeEngine
from semantic_palette_services.runtime.errors import DrainingError, InferenceError, ParityError
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.item_queue import Arrays
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles, ModelStore

ONNXRUNTIME = RuntimeSettings(engine="onnxruntime", threads=1)


@asynccontextmanager
async def loaded(
    files: BundleFiles, options: RuntimeSettings = ONNXRUNTIME, models: tuple[str, ...] | None = None
) -> AsyncIterator[tuple[LoadedBundle, RecordingObserver]]:
    executor, observer = DeviceExecutor("test"), RecordingObserver()
    try:
        bundle = await LoadedBundle.load(files, options, executor, models, observer)
        yield bundle, observer
        await bundle.close()
    finally:
        await executor.close()


@pytest.fixture(scope="module")
def golden(tiny_files: BundleFiles) -> Golden:
    return Golden.load(tiny_files.path / tiny_files.manifest.golden.file, tiny_files.manifest)


def layout_inputs(golden: Golden, row: int) -> dict[str, np.ndarray]:
    return {"z": golden["layout"].inputs["z"][row], "palette": golden["layout"].inputs["palette"][row]}


def test_a_bundle_says_what_it_is(tiny_files: BundleFiles) -> None:
    async def main() -> None:
        async with loaded(tiny_files) as (bundle, _):
            assert (bundle.name, bundle.version, bundle.digest) == ("tiny", "1", tiny_files.digest)
            assert (bundle.height, bundle.width, bundle.label_space.num_classes) == (16, 32, 6)
            assert bundle.palette_model.means.shape == (3, 6)
            assert [bundle.models[name].latent_size for name in BASIC] == [8, 8, 4]
            engine = bundle.models["layout"].engine
            assert (engine.engine, engine.precision) == ("onnxruntime", "fp32")
            entry = tiny_files.manifest.models["layout"]
            lines = f"{entry.sha256}  layout.onnx\n{entry.external_files['layout.weights']}  layout.weights\n"
            assert engine.model_digest == hashlib.sha256(lines.encode()).hexdigest()
            image = bundle.models["image"]
            assert image.engine.model_digest == image.entry.sha256
            assert bundle.healthy

    asyncio.run(main())


def test_every_model_answers_as_numpy_does(tiny_files: BundleFiles, golden: Golden, tiny: Tiny) -> None:
    async def main() -> None:
        async with loaded(tiny_files) as (bundle, observer):
            rows = range(16)
            labels = await asyncio.gather(*(bundle.models["layout"].infer(layout_inputs(golden, row)) for row in rows))
            np.testing.assert_array_equal([answer["labels"] for answer in labels], golden["layout"].outputs["labels"])
            scores = await bundle.models["layout_scores"].infer(layout_inputs(golden, 3))
            expected = tiny.scores(golden["layout"].inputs["z"][3:4], golden["layout"].inputs["palette"][3:4])[0]
            np.testing.assert_allclose(scores["scores"], expected, rtol=1e-5, atol=1e-4)
            image = await bundle.models["image"].infer(
                {"labels": golden["image"].inputs["labels"][7], "z": golden["image"].inputs["z"][7]}
            )
            np.testing.assert_array_equal(image["image"], golden["image"].outputs["image"][7])
            assert sum(observer.sizes["layout"]) == 16
            assert set(observer.in_flight.values()) == {0}

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_faces_answer_as_numpy_does_in_every_engine(engine: str, store_root: Path, tiny: Tiny) -> None:
    write_tiny_bundle(store_root, models=FACES, budget="additions", image="styled")
    files = ModelStore(store_root).open()
    golden = Golden.load(files.path / "golden.npz", files.manifest)

    async def main() -> None:
        async with loaded(files, RuntimeSettings(engine=engine, threads=1)) as (bundle, _):
            assert list(bundle.models) == ["editor", "image", "style_encoder"]
            assert bundle.style_bank is not None
            np.testing.assert_array_equal(bundle.style_bank.present_MK, tiny.bank_present)
            for operation, model in bundle.models.items():
                [(name, expected)] = golden[operation].outputs.items()
                inputs = golden[operation].inputs
                rows = [{key: array[row] for key, array in inputs.items()} for row in range(16)]
                answers = await asyncio.gather(*(model.infer(row) for row in rows))
                found = np.stack([answer[name] for answer in answers])
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=int(operation == "image"))
            with pytest.raises(MissingOperationError, match="there is no layout; the bundle has editor, image, style_"):
                bundle.models["layout"]

    asyncio.run(main())


def test_bundles_of_schema_1_are_read_by_their_old_names(store_root: Path, golden: Golden) -> None:
    write_tiny_bundle(store_root, schema=1)
    files = ModelStore(store_root).open()
    old = Golden.load(files.path / "golden.npz", files.manifest)
    for operation in BASIC:
        for name, array in golden[operation].inputs.items():
            np.testing.assert_array_equal(old[operation].inputs[name], array)
    np.testing.assert_array_equal(old["layout_scores"].outputs["labels"], golden["layout"].outputs["labels"])

    async def main() -> None:
        async with loaded(files) as (bundle, _):
            assert list(bundle.models) == list(BASIC)
            assert "equal_pixels 1," in bundle.models["layout_scores"].choice.best.reason
            assert bundle.style_bank is None

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_deterministic_answers_do_not_depend_on_company_or_process(
    engine: str, tiny_files: BundleFiles, golden: Golden
) -> None:
    options = RuntimeSettings(engine=engine, threads=1)

    async def scores(company: int) -> bytes:
        async with loaded(tiny_files, options, ("layout_scores",)) as (bundle, _):
            model = bundle.models["layout_scores"]
            others = [asyncio.create_task(model.infer(layout_inputs(golden, row))) for row in range(company)]
            answer = await model.infer(layout_inputs(golden, 5), deterministic=True)
            await asyncio.gather(*others)
            return answer["scores"].tobytes()

    assert len({asyncio.run(scores(company)) for company in (0, 1, 12)}) == 1


class DeterministicBench:
    """A bundle that stays loaded over the examples of a property, and what each row answers alone."""

    def __init__(self, files: BundleFiles, golden: Golden) -> None:
        self.runner = asyncio.Runner()
        self.golden = golden
        self.executor = DeviceExecutor("test")
        load = LoadedBundle.load(files, ONNXRUNTIME, self.executor, ("layout_scores",))
        self.bundle = self.runner.run(load)
        self.alone = [self.answers([(row, True)])[0] for row in range(16)]

    async def _answers(self, items: list[tuple[int, bool]]) -> list[bytes]:
        infer = self.bundle.models["layout_scores"].infer
        submits = [infer(layout_inputs(self.golden, row), deterministic=flag) for row, flag in items]
        return [answer["scores"].tobytes() for answer in await asyncio.gather(*submits)]

    def answers(self, items: list[tuple[int, bool]]) -> list[bytes]:
        return self.runner.run(self._answers(items))

    def close(self) -> None:
        self.runner.run(self.bundle.close())
        self.runner.run(self.executor.close())
        self.runner.close()


@pytest.fixture(scope="module")
def deterministic_bench(tiny_files: BundleFiles, golden: Golden) -> Iterator[DeterministicBench]:
    bench = DeterministicBench(tiny_files, golden)
    yield bench
    bench.close()


@settings(max_examples=50, deadline=None)
@given(items=st.lists(st.tuples(st.integers(0, 15), st.booleans()), min_size=1, max_size=30))
def test_deterministic_items_get_the_same_bytes_in_any_crowd(
    items: list[tuple[int, bool]], deterministic_bench: DeterministicBench
) -> None:
    answers = deterministic_bench.answers(items)
    for (row, deterministic), answer in zip(items, answers, strict=True):
        if deterministic:
            assert answer == deterministic_bench.alone[row]
        else:
            expected = np.frombuffer(deterministic_bench.alone[row], np.float32)
            np.testing.assert_allclose(np.frombuffer(answer, np.float32), expected, rtol=1e-5, atol=1e-4)


def test_provenance_names_the_engine_that_answers_deterministic_items(tiny_files: BundleFiles) -> None:
    async def main() -> None:
        async with loaded(tiny_files, RuntimeSettings(threads=1), ("image",)) as (bundle, _):
            model = bundle.models["image"]
            assert model.engine_for(deterministic=True).engine == "onnxruntime"
            assert model.engine == model.engine_for(deterministic=False)
            assert model.choice.chosen.startswith(model.engine.engine)

    asyncio.run(main())


def test_samples_that_do_not_fit_the_model_are_refused_before_they_are_queued(
    tiny_files: BundleFiles, golden: Golden
) -> None:
    async def main() -> None:
        async with loaded(tiny_files, models=("image",)) as (bundle, observer):
            model = bundle.models["image"]
            with pytest.raises(InvalidInputError, match=r"labels: \[16, 31\] .*shape must be \[16, 32\]"):
                await model.infer(
                    {"labels": golden["image"].inputs["labels"][0][:, :31], "z": golden["image"].inputs["z"][0]}
                )
            with pytest.raises(InvalidInputError, match="z: 'float64'"):
                await model.infer(
                    {
                        "labels": golden["image"].inputs["labels"][0],
                        "z": golden["image"].inputs["z"][0].astype(np.float64),
                    }
                )
            assert observer.accepted["image"] == 0

    asyncio.run(main())


def test_an_item_that_makes_the_model_fail_fails_alone(poisoned_root: Path, golden: Golden) -> None:
    async def main() -> None:
        async with loaded(ModelStore(poisoned_root).open(), models=("image",)) as (bundle, _):
            layouts = golden["image"].inputs["labels"][:6].copy()
            layouts[2] = POISON_CLASS
            samples = [
                {"labels": labels, "z": z} for labels, z in zip(layouts, golden["image"].inputs["z"][:6], strict=True)
            ]
            infer = bundle.models["image"].infer
            answers = await asyncio.gather(*(infer(sample) for sample in samples), return_exceptions=True)
            assert [isinstance(answer, InferenceError) for answer in answers] == [row == 2 for row in range(6)]
            np.testing.assert_array_equal(answers[4]["image"], golden["image"].outputs["image"][4])
            assert bundle.healthy

    asyncio.run(main())


def test_palettes_need_no_model(tiny_files: BundleFiles) -> None:
    async def main() -> None:
        async with loaded(tiny_files, models=()) as (bundle, _):
            assert bundle.models == {}
            assert bundle.healthy
            assert bundle.palette_model.weights.sum() == pytest.approx(1.0)

    asyncio.run(main())


def test_loading_that_is_given_up_leaves_the_device_to_others(
    tiny_files: BundleFiles, golden: Golden, store_root: Path
) -> None:
    write_tiny_bundle(store_root, version="2", seed=1, work=20)
    other = ModelStore(store_root).open("tiny", "2")

    async def main() -> None:
        executor = DeviceExecutor("test")
        served = await LoadedBundle.load(tiny_files, ONNXRUNTIME, executor, ("layout",))
        for moment in (0.0, 0.01, 0.05):
            loading = asyncio.create_task(LoadedBundle.load(other, ONNXRUNTIME, executor))
            await asyncio.sleep(moment)
            loading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await loading
            answer = await served.models["layout"].infer(layout_inputs(golden, 3))
            np.testing.assert_array_equal(answer["labels"], golden["layout"].outputs["labels"][3])
        await served.close()
        assert executor.healthy
        await executor.close()

    asyncio.run(main())


def test_a_model_that_the_bundle_lacks_is_named(tiny_files: BundleFiles) -> None:
    async def main() -> None:
        with pytest.raises(BundleError, match="no model editor, only image, layout, layout_scores"):
            async with loaded(tiny_files, models=("layout", "editor")):
                pass

    asyncio.run(main())


def test_models_that_do_not_reproduce_their_golden_outputs_are_not_served(
    tiny_files: BundleFiles, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(tiny_files.path, tmp_path / "1"))
    with np.load(path / "golden.npz") as file:
        arrays = dict(file)
    np.savez(path / "golden.npz", **(arrays | {"image/image": arrays["image/image"][::-1]}))

    async def main() -> None:
        with pytest.raises(ParityError, match=r"image: no engine .*\n.*psnr_db is"):
            async with loaded(BundleFiles(path, tiny_files.manifest, tiny_files.digest)):
                pass

    asyncio.run(main())


def test_engines_that_are_loaded_again_have_run_at_every_size_before_they_answer(
    tiny_files: BundleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    run = OnnxRuntimeEngine.run

    def noted_run(engine: OnnxRuntimeEngine, inputs: Arrays) -> dict[str, np.ndarray]:
        sizes.append(len(inputs["palette"]))
        return run(engine, inputs)

    async def main() -> None:
        async with loaded(tiny_files, models=("layout",)) as (bundle, _):
            model = bundle.models["layout"]
            best = replace(model.choice.best, seconds={1: 1.0, 4: 1.0})
            model.choice = replace(model.choice, candidates=(best,))
            assert model.max_batch_size == 4
            monkeypatch.setattr(OnnxRuntimeEngine, "run", noted_run)
            await model.reload()
            assert set(sizes) == {1, 4}

    asyncio.run(main())


def test_engines_are_freed_outside_of_the_event_loop(tiny_files: BundleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    close = OnnxRuntimeEngine.close

    def noted_close(engine: OnnxRuntimeEngine) -> None:
        threads.append(threading.current_thread())
        close(engine)

    async def main() -> None:
        async with loaded(tiny_files):
            monkeypatch.setattr(OnnxRuntimeEngine, "close", noted_close)
        assert threads
        assert threading.current_thread() not in threads

    asyncio.run(main())


def test_a_bundle_drains_and_then_refuses(tiny_files: BundleFiles, golden: Golden) -> None:
    async def main() -> None:
        async with loaded(tiny_files, models=("layout",)) as (bundle, _):
            model = bundle.models["layout"]
            tasks = [asyncio.create_task(model.infer(layout_inputs(golden, row))) for row in range(16)]
            await asyncio.sleep(0)
            await bundle.drain()
            assert all(task.done() for task in tasks)
            np.testing.assert_array_equal(
                [task.result()["labels"] for task in tasks], golden["layout"].outputs["labels"]
            )
            with pytest.raises(DrainingError):
                await model.infer(layout_inputs(golden, 0))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "value", "least"), [("threads", -1, 0), ("max_batch_size", 0, 1), ("max_queue", 0, 1)]
)
def test_settings_that_make_no_sense_are_named(field: str, value: int, least: int) -> None:
    with pytest.raises(InvalidInputError, match=f"{field}: {value} .*at least {least}"):
        RuntimeSettings(**{field: value})


def test_a_longest_wait_of_no_time_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"max_queue_seconds: 0.0 .*more than 0"):
        RuntimeSettings(max_queue_seconds=0.0)
