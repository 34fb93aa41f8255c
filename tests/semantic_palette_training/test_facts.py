"""Facts about data sets: every data set that a recipe can name has them."""

import dataclasses
import typing

import pytest

from semantic_palette_training.data.facts import DATA_FACTS, DataFacts
from semantic_palette_training.data.registry import DataConfig


def default_name(config):
    return next(field.default for field in dataclasses.fields(config) if field.name == "name")


@pytest.mark.parametrize("config", typing.get_args(DataConfig), ids=default_name)
def test_every_data_set_has_all_facts(config):
    facts = DATA_FACTS[default_name(config)]
    assert facts.keys() == DataFacts.__required_keys__
    assert all(facts.values())


@pytest.mark.parametrize("name", ["camvid", "cityscapes", "idd", "ade-indoor", "celebamask-hq"])
def test_weights_are_not_freer_than_the_photographs_they_were_trained_on(name):
    assert "non-commercial" in DATA_FACTS[name]["use"] or "research" in DATA_FACTS[name]["use"]
    weights = DATA_FACTS[name]["weights_licence"]
    assert any(word in weights for word in ("non-commercial", "not for commercial", "research"))
