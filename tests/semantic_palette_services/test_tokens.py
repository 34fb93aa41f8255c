"""The file of tokens, and finding whose a token is."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from secret_files import ADMIN_TOKEN, TOKEN

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.access import tokens as tokens_module
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.access.errors import PermissionDeniedError, UnauthenticatedError
from semantic_palette_services.access.tokens import TokensError, TokenTable, new_token, parse_tokens

SECRET = "never-to-be-printed-0123456789abcdef"


def parse(*entries: Any) -> TokenTable:
    return TokenTable(parse_tokens(json.dumps(list(entries)).encode()))


def test_a_token_is_known_by_itself_or_by_its_hash() -> None:
    table = parse(
        {"name": "alice", "token_sha256": sha256(TOKEN.encode()).hexdigest()},
        {"name": "operator", "token": ADMIN_TOKEN, "scopes": ["admin"]},
    )
    alice, operator = table.caller_of(TOKEN), table.caller_of(ADMIN_TOKEN)
    assert (alice.name, alice.scopes) == ("alice", {Scope.GENERATE})
    assert (operator.name, operator.scopes) == ("operator", {Scope.ADMIN})
    assert table.scopes == set(Scope)
    alice.require(Scope.GENERATE)
    with pytest.raises(PermissionDeniedError, match="'alice' has not got the scope 'admin'"):
        alice.require(Scope.ADMIN)


@pytest.mark.parametrize("wrong", ["", TOKEN[:-1], TOKEN + "a", TOKEN.lower(), sha256(TOKEN.encode()).hexdigest()])
def test_any_other_token_is_nobodys_and_is_not_repeated(wrong: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        parse({"name": "alice", "token": TOKEN}).caller_of(wrong)
    assert not wrong or wrong not in str(caught.value)


def test_every_entry_is_compared_in_constant_time_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"name": f"user{i}", "token": f"{i:040d}"} for i in range(5)]
    table = parse(*entries)
    compared: list[bytes] = []

    class Hmac:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append(one)
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(tokens_module, "hmac", Hmac)
    assert table.caller_of(f"{0:040d}").name == "user0"
    assert len(compared) == 5
    with pytest.raises(UnauthenticatedError):
        table.caller_of(SECRET)
    assert len(compared) == 10


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (f"[{SECRET}", "the file"),
        (json.dumps({SECRET: "alice"}), "the file"),
        (json.dumps([{SECRET: "alice"}]), "[0]"),
        (json.dumps([{"name": "alice", "token": SECRET, SECRET: 1}]), "[0]"),
        (json.dumps([{"name": "alice"}]), "[0]: Value error, one of token_sha256 and token is needed"),
        (json.dumps([{"name": "alice", "token": "short"}]), "[0].token"),
        (json.dumps([{"name": "alice", "token_sha256": SECRET}]), "[0].token_sha256"),
        (json.dumps([{"name": "alice", "token": SECRET, "scopes": [SECRET]}]), "[0].scopes"),
        (json.dumps([{"name": "alice", "token": SECRET, "scopes": []}]), "[0].scopes"),
        (json.dumps([{"name": "alice", "token": SECRET, "pairs_per_second": 0}]), "[0].pairs_per_second"),
        (json.dumps([{"name": "alice", "token": SECRET, "max_streams": 0}]), "[0].max_streams"),
        (json.dumps([{"name": "alice", "token": SECRET, "pairs_per_minute": 5}]), "[0]"),
        (json.dumps([{"name": SECRET * 3, "token": TOKEN}]), "[0].name"),
        (json.dumps([{"name": "a", "token": SECRET}, {"name": "a", "token": TOKEN}]), "[1].name"),
        (json.dumps([{"name": "a", "token": SECRET}, {"name": "b", "token": SECRET}]), "[1].token"),
    ],
)
def test_what_is_no_file_of_tokens_is_named_by_its_place_and_never_quoted(content: str, where: str) -> None:
    with pytest.raises(TokensError) as caught:
        parse_tokens(content.encode())
    assert str(caught.value).startswith(where)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_entries_do_not_show_their_secret() -> None:
    [entry] = parse_tokens(json.dumps([{"name": "alice", "token": SECRET}]).encode())
    [hashed] = parse_tokens(json.dumps([{"name": "bob", "token_sha256": "ab" * 32}]).encode())
    assert SECRET not in repr(entry) + str(entry)
    assert "ab" * 32 not in repr(hashed)


def test_a_new_token_is_let_in_by_its_entry() -> None:
    token, entry = new_token("alice")
    assert token not in json.dumps(entry)
    assert parse(entry).caller_of(token).name == "alice"
    assert new_token("alice")[0] != token
    with pytest.raises(InvalidInputError, match="name"):
        new_token("no spaces")


def test_a_reloaded_table_keeps_what_tokens_have_used_and_revokes_those_that_are_gone() -> None:
    def entries(*given: dict[str, Any]) -> Any:
        return parse_tokens(json.dumps(given).encode())

    alice, bob = {"name": "alice", "token": TOKEN, "max_streams": 1}, {"name": "bob", "token": ADMIN_TOKEN}
    before = TokenTable(entries(alice, bob))
    quota = before.caller_of(TOKEN).quota
    after = TokenTable(entries(alice | {"max_streams": 2, "scopes": ["generate", "admin"]}), before)
    assert after.caller_of(TOKEN).quota is quota
    assert after.caller_of(TOKEN).scopes == set(Scope)
    with quota.stream(), quota.stream():
        pass
    with pytest.raises(UnauthenticatedError):
        after.caller_of(ADMIN_TOKEN)
    # The same name with another token is another token.
    renewed = TokenTable(entries(alice | {"token": SECRET}), after)
    assert renewed.caller_of(SECRET).quota is not quota
