"""docs/own_dataset.md, followed to the letter: its files are written and its commands run, in the order of the page."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_palette.cli.main import run
from semantic_palette.palette import histogram
from semantic_palette_training.data.streets import streets

PAGE = Path(__file__).parent.parent / "docs" / "own_dataset.md"
COMMAND = Path(sys.executable).with_name("semantic-palette")
#: Where the page says that a server listens; a test takes a port that is free.
ADDRESS = "127.0.0.1:50051"


def blocks() -> list[tuple[str, str]]:
    """The fenced blocks of the page that have a language, with their text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def write_harbour(root: Path) -> None:
    """A folder as step 1 has it, with every value of step 2 in its label maps."""
    (space,) = (json.loads(text) for language, text in blocks() if language == "json")
    values = np.array([value for entry in space["classes"] for value in entry["values"]], np.uint8)
    for split, count, seed in (("train", 24, 0), ("val", 8, 1)):
        scenes = streets(count, seed, 48, 96)
        for index in range(count):
            for folder, name, array in (
                ("images", f"{index:03}.jpg", scenes.images[index]),
                ("labels", f"{index:03}.png", values[scenes.labels[index] % len(values)]),
            ):
                path = root / split / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


@contextmanager
def serving(arguments: list[str]) -> Iterator[str]:
    """`semantic-palette serve` on free ports; gives its address and ends it as a person would."""
    ports = {f"SEMANTIC_PALETTE_{name}": "0" for name in ("PORT", "HEALTH_PORT", "METRICS_PORT")}
    process = subprocess.Popen(
        [str(COMMAND), *arguments], env=os.environ | ports, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    log: list[str] = []
    try:
        for line in process.stderr:
            log.append(line)
            if match := re.search(r"serving .* at (\S+), health port", line):
                yield match[1]
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
                assert process.returncode == 0
                return
        raise AssertionError("the server did not start:\n" + "".join(log))
    finally:
        process.kill()
        process.communicate()


def follow(commands: str) -> None:
    """Run a block of commands; one with a server runs the others while it serves."""
    lines = [shlex.split(line, comments=True)[1:] for line in commands.splitlines()]
    if lines[0][0] == "serve":
        with serving(lines[0]) as address:
            for arguments in lines[1:]:
                assert run([argument.replace(ADDRESS, address) for argument in arguments]) == 0
        return
    for arguments in lines:
        assert run(arguments) == 0, arguments


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the whole page was followed."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SEMANTIC_PALETTE_CACHE", str(folder / "cache"))
        write_harbour(folder / "harbour")
        for language, text in blocks():
            if language == "json":
                (folder / "harbour" / "label_space.json").write_text(text)
            elif language == "yaml":
                (folder / "harbour.yaml").write_text(text)
            else:
                assert language == "sh"
                follow(text)
        yield folder


def test_the_first_label_space_has_the_values_that_the_page_names(tmp_path: Path) -> None:
    write_harbour(tmp_path / "harbour")
    assert run(["data", "init", str(tmp_path / "harbour")]) == 0
    found = json.loads((tmp_path / "harbour" / "label_space.json").read_text())
    (named,) = (json.loads(text) for language, text in blocks() if language == "json")
    values = [{value for entry in space["classes"] for value in entry["values"]} for space in (found, named)]
    assert values[0] == values[1]


@pytest.mark.parametrize(("folder", "bound", "share"), [("pairs", "water", 0.2), ("served", "boat", 0.05)])
def test_the_page_ends_with_pairs_of_the_named_classes(workplace: Path, folder: str, bound: str, share: float) -> None:
    records = [json.loads(line) for line in (workplace / folder / "pairs.jsonl").read_text().splitlines()]
    assert len(records) == 20
    for record in records:
        with Image.open(workplace / folder / record["label"]) as label_map:
            labels = np.asarray(label_map)
        with Image.open(workplace / folder / record["image"]) as image:
            assert image.size == (64, 32)
        assert labels.shape == (32, 64)
        assert list(record["requested"]) == ["sky", "water", "quay", "building", "boat", "person", "void"]
        assert record["requested"][bound] >= share - 1e-9
        np.testing.assert_allclose(histogram(labels, 7), list(record["achieved"].values()), atol=1e-9)


def test_the_page_leaves_what_it_says(workplace: Path) -> None:
    assert (workplace / "pairs" / "contact_sheet.png").is_file()
    assert (workplace / "model_store" / "harbour" / "1" / "MODEL_CARD.md").is_file()
    assert sorted(path.name.rsplit("-", 1)[0] for path in (workplace / "cache").iterdir()) == [
        "folder-32x64-train",
        "folder-32x64-val",
    ]


def test_training_used_the_prepared_scenes(workplace: Path) -> None:
    (prepared,) = (workplace / "cache").glob("folder-32x64-train-*")
    digest = json.loads((prepared / "scenes.json").read_text())["digest"]
    assert digest in (workplace / "runs" / "harbour" / "run.json").read_text()
