"""VGG19's features from a file of the user's: digest, names, layers."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.vgg import PerceptualConfig, Vgg19Features, load_vgg19


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> PerceptualConfig:
    """Random weights under torchvision's names, and a layer of the classifier, which is not used."""
    torch.manual_seed(0)
    state = Vgg19Features().state_dict()
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**state, "features.30.weight": torch.zeros(1), "classifier.6.bias": torch.zeros(1000)}, path)
    return PerceptualConfig(weights=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_names_and_shapes_are_those_of_torchvision() -> None:
    """VGG19's sixteen convolutions sit at these places of torchvision's `features`; thirteen of them are needed."""
    channels = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256)}
    channels |= {14: (256, 256), 16: (256, 256), 19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512)}
    channels |= {28: (512, 512)}
    with torch.device("meta"):
        state = Vgg19Features().state_dict()
    expected = {}
    for index, (c, d) in channels.items():
        expected[f"features.{index}.weight"] = (d, c, 3, 3)
        expected[f"features.{index}.bias"] = (d,)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


@torch.no_grad()
def test_features_are_the_first_activation_of_every_block(weights: PerceptualConfig) -> None:
    network = load_vgg19(weights)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    state = torch.load(weights.weights, weights_only=True)
    image = torch.randn(1, 3, 32, 16)
    made = network(image)
    x, expected = image, []
    for index, block in enumerate([(0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28,)]):
        x = torch.nn.functional.max_pool2d(x, 2) if index else x
        for place, layer in enumerate(block):
            convolved = torch.nn.functional.conv2d(
                x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1
            )
            x = convolved.clamp_min(0)
            if place == 0:
                expected.append(x)
    assert [feature.shape[1] for feature in made] == [64, 128, 256, 512, 512]
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_reach_the_image(weights: PerceptualConfig) -> None:
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    load_vgg19(weights)(image)[-1].sum().backward()
    assert image.grad is not None


def test_a_wrong_digest_is_an_error_that_gives_the_right_one(weights: PerceptualConfig) -> None:
    wrong = PerceptualConfig(weights=weights.weights, sha256="0" * 64)
    with pytest.raises(InvalidInputError, match=weights.sha256) as caught:
        load_vgg19(wrong)
    assert caught.value.field == "image.objective.perceptual.sha256"


def test_a_file_is_not_unpickled_before_its_digest_is_checked(weights: PerceptualConfig, tmp_path: Path) -> None:
    path = tmp_path / "changed.pth"
    shutil.copy(weights.weights, path)
    with path.open("ab") as file:
        file.write(b"!")
    with pytest.raises(InvalidInputError, match="digest"):
        load_vgg19(PerceptualConfig(weights=str(path), sha256=weights.sha256))


@pytest.mark.parametrize("content", ["nothing", "text", "another network"])
def test_what_is_not_vgg19_is_an_error_that_names_the_field(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("hello")
    elif content == "another network":
        torch.save({"features.0.weight": torch.zeros(1)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64
    with pytest.raises(InvalidInputError, match="weights") as caught:
        load_vgg19(PerceptualConfig(weights=str(path), sha256=digest))
    assert caught.value.field == "image.objective.perceptual.weights"
