"""Messages to arrays and back. The refusals are in test_bad_input.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_palette.constraints import Constraints
from semantic_palette.label_space import CAMVID
from semantic_palette.pair import Adherence, EngineIdentity, PaletteOrigin
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import palette_service_pb2 as palette_pb
from semantic_palette_services import codecs
from semantic_palette_services.encoding import EncodedImage, ImageFormat, LabelEncoding

WEIGHTS = st.lists(
    st.floats(min_value=0.0, max_value=1.0), min_size=CAMVID.num_classes, max_size=CAMVID.num_classes
).filter(lambda weights: sum(weights) > 1e-3)


@given(WEIGHTS)
def test_a_normalised_palette_survives_any_number_of_services_bit_for_bit(weights: list[float]) -> None:
    palette = np.array(weights) / np.sum(weights)
    passed = palette
    for _ in range(3):
        passed = codecs.palette_from_proto(CAMVID, codecs.palette_to_proto(CAMVID, passed), "palette")
    assert passed.tobytes() == palette.tobytes()


def test_a_palette_that_nearly_sums_is_normalised() -> None:
    message = common.Palette(shares={"sky": 0.5, "road": 0.4995})
    assert codecs.palette_from_proto(CAMVID, message, "palette").sum() == pytest.approx(1.0, abs=1e-12)


def test_class_names_are_matched_as_the_label_space_does() -> None:
    message = common.Palette(shares={"Sign Symbol": 1.0})
    assert codecs.palette_from_proto(CAMVID, message, "palette")[CAMVID.id_of("sign_symbol")] == 1.0


def test_unspecified_choices_are_the_defaults_of_the_protos() -> None:
    assert codecs.adherence_from_proto(common.ADHERENCE_UNSPECIFIED) is Adherence.NATURAL
    assert codecs.label_encoding_from_proto(common.LABEL_ENCODING_UNSPECIFIED) is LabelEncoding.PNG
    assert codecs.image_encoding_from_proto(common.IMAGE_FORMAT_UNSPECIFIED, 0).format is ImageFormat.PNG


@pytest.mark.parametrize("adherence", Adherence)
def test_adherences_come_back(adherence: Adherence) -> None:
    value = codecs.adherence_to_proto(adherence)
    assert value != common.ADHERENCE_UNSPECIFIED
    assert codecs.adherence_from_proto(value) is adherence


@pytest.mark.parametrize("image_format", ImageFormat)
def test_image_formats_come_back(image_format: ImageFormat) -> None:
    value = codecs.image_format_to_proto(image_format)
    assert value != common.IMAGE_FORMAT_UNSPECIFIED
    assert codecs.image_encoding_from_proto(value, 0).format is image_format


def test_every_origin_has_its_value() -> None:
    values = {codecs.origin_to_proto(origin) for origin in PaletteOrigin}
    assert values == set(common.PaletteOrigin.values()) - {common.PALETTE_ORIGIN_UNSPECIFIED}


def test_constraints_images_and_engines_come_back() -> None:
    constraints = Constraints({"sky": 0.25}, {"road": 0.125}, {"car": 0.5})
    assert codecs.constraints_from_proto(codecs.constraints_to_proto(constraints)) == constraints
    image = EncodedImage(b"data", ImageFormat.WEBP, 3, 4)
    assert codecs.image_from_proto(codecs.image_to_proto(image)) == image
    engine = EngineIdentity("onnxruntime", "1.32.0", "fp32", "00ff")
    assert codecs.engine_from_proto(codecs.engine_to_proto(engine)) == engine


def test_a_label_space_comes_back() -> None:
    message = palette_pb.GetLabelSpaceResponse(
        name=CAMVID.name, classes=codecs.label_classes_to_proto(CAMVID), height=1, width=1
    )
    assert codecs.label_space_from_proto(message) == CAMVID
