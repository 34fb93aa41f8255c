"""Streets: the same scene for the same seed, at any size, and scenes that differ widely."""

import hashlib

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import STREETS
from semantic_palette_training.data.streets import streets


@pytest.fixture(scope="module")
def sample():
    return streets(48, seed=0, height=64, width=128)


def test_a_scene_depends_on_its_seed_and_index_alone(sample):
    alone = streets(1, seed=0, height=64, width=128, first_index=5)
    np.testing.assert_array_equal(alone.labels[0], sample.labels[5])
    np.testing.assert_array_equal(alone.images[0], sample.images[5])
    assert alone.names == [sample.names[5]]
    assert (streets(1, seed=1, height=64, width=128, first_index=5).labels != alone.labels).any()


def test_the_bytes_are_the_same_on_every_machine(sample):
    """A change of these values changes every data set made with Streets: make it on purpose."""
    digests = [hashlib.sha256(array[:4].tobytes()).hexdigest()[:16] for array in (sample.labels, sample.images)]
    assert digests == ["17ac885205c9a434", "a948c0f25c6f554f"]


def test_every_class_is_common_and_shares_vary_widely(sample):
    palettes = sample.palettes()
    assert sample.label_space == STREETS
    assert ((palettes > 0).mean(axis=0) > 0.5).all()
    assert (palettes[:, STREETS.id_of("road")] > 0.03).all()
    for name in ("sky", "building", "road"):
        assert np.ptp(palettes[:, STREETS.id_of(name)]) > 0.3
    for name in ("tree", "grass", "car", "pavement"):
        assert np.ptp(palettes[:, STREETS.id_of(name)]) > 0.12


def test_a_finer_resolution_shows_the_same_scene(sample):
    fine = streets(6, seed=0, height=128, width=256)
    agreement = (fine.labels[:, 1::2, 1::2] == sample.labels[:6]).mean(axis=(1, 2))
    assert agreement.min() > 0.9
    np.testing.assert_allclose(fine.palettes(), sample.palettes()[:6], atol=0.03)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 8), (37, 53), (96, 32)])
def test_any_resolution_works(height, width):
    scenes = streets(2, seed=4, height=height, width=width)
    assert scenes.images.shape == (2, height, width, 3)


def test_images_show_what_the_labels_say(sample):
    """Where the class changes the image does too, pixel for pixel: edges of the one are edges of the other."""
    brightness = sample.images.astype(float)
    step = np.abs(np.diff(brightness, axis=2)).sum(axis=-1)
    boundary = np.diff(sample.labels.astype(int), axis=2) != 0
    aside = np.roll(boundary, 2, axis=2) & ~boundary
    assert step[boundary].mean() > 3 * step[~boundary].mean()
    assert step[boundary].mean() > 2 * step[aside].mean()


def test_classes_look_different(sample):
    """A classifier as simple as nearest mean colour and height already tells the large classes apart."""
    rows = np.broadcast_to(np.linspace(0, 255, 64)[:, None], sample.labels.shape)
    features = np.concatenate([sample.images, rows[..., None]], axis=-1).reshape(-1, 4).astype(float)
    labels = sample.labels.ravel()
    large = np.array([STREETS.id_of(name) for name in ("sky", "building", "grass", "road")])
    chosen = np.isin(labels, large)
    means = np.stack([features[labels == class_id].mean(axis=0) for class_id in large])
    nearest = large[((features[chosen][:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)]
    assert (nearest == labels[chosen]).mean() > 0.55


@pytest.mark.parametrize(("field", "value"), [("count", 0), ("seed", -1), ("height", 0), ("first_index", -1)])
def test_values_out_of_range_are_refused(field, value):
    arguments = {"count": 1, "seed": 0, "height": 8, "width": 16, "first_index": 0} | {field: value}
    with pytest.raises(InvalidInputError, match=f"{field}: {value}"):
        streets(**arguments)
