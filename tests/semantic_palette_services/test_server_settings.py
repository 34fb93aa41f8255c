"""What can be chosen about a server, and what cannot."""

from __future__ import annotations

import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.server.settings import SERVICE_NAMES, ServerSettings, read_settings, unknown_variables


def test_everything_is_served_by_default() -> None:
    settings = ServerSettings()
    assert settings.services == SERVICE_NAMES
    assert settings.models == ("layout", "layout_scores", "editor", "image", "style_encoder")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANTIC_PALETTE_SERVICES", "palette, layout")
    monkeypatch.setenv("SEMANTIC_PALETTE_BUNDLE", "camvid/3")
    settings = ServerSettings(bundle="streets")
    assert settings.services == ("palette", "layout")
    assert settings.models == ("layout", "layout_scores", "editor")
    assert settings.bundle == "streets"


def test_variables_that_are_no_settings_are_named() -> None:
    wrong = ["SEMANTIC_PALETTE_AUTH_TOKEN", "SEMANTIC_PALETTE_TLS"]
    right = ["SEMANTIC_PALETTE_AUTH_TOKENS", "semantic_palette_port", "SEMANTIC_PALETTE_CLIENT_CA", "HOME"]
    assert unknown_variables([*wrong, *right]) == wrong


def test_a_factory_needs_every_stage_here_or_elsewhere() -> None:
    with pytest.raises(InvalidInputError, match="image_address"):
        read_settings(services=("factory", "palette", "layout"))
    settings = ServerSettings(services=("factory", "palette", "layout"), image_address="image:50051")
    assert settings.models == ("layout", "layout_scores", "editor")


def test_the_open_inference_protocol_shows_the_models_beside_it_or_all_that_it_can() -> None:
    assert ServerSettings(services=("layout", "openinference")).models == ("layout", "layout_scores", "editor")
    assert ServerSettings(services=("openinference", "image")).models == ("image", "style_encoder")
    alone = ("layout", "editor", "image", "style_encoder")
    assert ServerSettings(services=("openinference",)).models == alone
    assert ServerSettings(services=("palette", "openinference")).models == alone
    assert ServerSettings(services=("openinference",)).needs_bundle


def test_a_factory_of_remote_stages_needs_no_bundle() -> None:
    addresses = {f"{stage}_address": f"{stage}:50051" for stage in ("palette", "layout", "image")}
    settings = ServerSettings(services=("factory",), **addresses)  # type: ignore[arg-type]
    assert not settings.needs_bundle
    assert settings.models == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("services", ("teapot",)),
        ("services", ()),
        ("port", 70_000),
        ("max_batch_size", 0),
        ("max_queue_seconds", 0),
        ("engine_hang_seconds", -1),
        ("drain_grace", -1),
        ("log_level", "loud"),
        ("max_items", 513),
        ("unknown", 1),
    ],
)
def test_what_is_not_allowed_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_settings(**{field: value})
    assert caught.value.field == field


def test_a_mistake_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANTIC_PALETTE_MAX_QUEUE", "many")
    with pytest.raises(InvalidInputError, match="SEMANTIC_PALETTE_MAX_QUEUE") as caught:
        read_settings()
    assert (caught.value.field, caught.value.value) == ("max_queue", "many")
