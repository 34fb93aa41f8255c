"""How urgent a call is: what is given is sent, and by default the service decides."""

import numpy as np
import pytest
from client_talk import collect, talk
from fake_services import HEIGHT, WIDTH

from semantic_palette import Priority
from semantic_palette.client import EditItem, EditSource, ImageItem, LayoutItem
from semantic_palette.errors import InvalidInputError
from semantic_palette.v1 import common_pb2

LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
TARGET = {"road": 1.0}

CALLS = {
    "generate_layouts": lambda client, **given: client.generate_layouts([LayoutItem({"road": 1.0})], **given),
    "translate_layouts": lambda client, **given: client.translate_layouts([ImageItem(LABELS)], **given),
    "edit_layouts": lambda client, **given: client.edit_layouts([EditItem(layout=LABELS, target=TARGET)], **given),
    "generate_pairs": lambda client, **given: collect(client.generate_pairs(1, **given)),
    "edit_pairs": lambda client, **given: collect(
        client.edit_pairs([EditSource(layout=LABELS, image=IMAGE, target=TARGET)], **given)
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_needs_a_device_says_how_urgent_it_is(call):
    async def scenario(client, fakes):
        sent = []
        for given in ({}, {"priority": "bulk"}, {"priority": Priority.INTERACTIVE}):
            await CALLS[call](client, **given)
            sent.append(fakes.requests[-1].priority)
        return sent

    unspecified, bulk, interactive = talk(scenario)
    assert unspecified == common_pb2.PRIORITY_UNSPECIFIED
    assert (bulk, interactive) == (common_pb2.PRIORITY_BULK, common_pb2.PRIORITY_INTERACTIVE)


def test_a_priority_that_does_not_exist_is_refused_before_a_call():
    async def scenario(client, fakes):
        with pytest.raises(InvalidInputError, match=r"priority: 'urgent' .*one of interactive, bulk"):
            client.generate_pairs(1, priority="urgent")
        assert not fakes.requests

    talk(scenario)
