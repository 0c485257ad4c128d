"""Encoders in C read a dict without calling its methods: none writes what a session holds before it is loaded."""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable
from typing import Any

import pytest

from session_mw import SessionManager
from support.tokens import KEY, token_of

DATA = {"user": "ada", "cart": [1, 2]}

Encoder = Callable[[Any], Any]


@pytest.fixture
def session() -> Any:
    """One that nobody has touched."""
    return SessionManager(KEY).open({"HTTP_COOKIE": f"session={token_of(DATA)}"})


def encoders(name: str) -> dict[str, Encoder]:
    """The ways in which a package can be told to write a dict, by what is given to it."""
    package = pytest.importorskip(name)
    if name == "msgspec":
        return {
            "json": package.json.encode,
            "json, sorted": lambda value: package.json.encode(value, order="sorted"),
            "json, with a hook": lambda value: package.json.encode(value, enc_hook=str),
            "json, with a hook for empty": lambda value: package.json.encode(value, enc_hook=lambda _: None),
            "msgpack": package.msgpack.encode,
            "msgpack, with a hook": lambda value: package.msgpack.encode(value, enc_hook=repr),
            "to_builtins": package.to_builtins,
            "to_builtins, text": lambda value: package.to_builtins(value, str_keys=True),
            "to_builtins, with a hook": lambda value: package.to_builtins(value, enc_hook=str),
            "convert": lambda value: package.convert(value, dict),
            "convert, typed": lambda value: package.convert(value, dict[str, Any]),
            "convert, any keys": lambda value: package.convert(value, dict[Any, Any]),
            "convert, not strict": lambda value: package.convert(value, dict, strict=False),
        }
    if name == "orjson":
        options = {"": 0, "sorted": package.OPT_SORT_KEYS, "any keys": package.OPT_NON_STR_KEYS}
        hooks = {"": None, ", str": str, ", repr": repr, ", nothing": lambda _: None}
        return {
            option + hook: lambda value, o=options[option], h=hooks[hook]: package.dumps(value, default=h, option=o)
            for option in options
            for hook in hooks
        }
    ways: dict[str, dict[str, Any]] = {
        "ujson": {"plain": {}, "sorted": {"sort_keys": True}, "text": {"default": str}, "none": {"default": id}},
        "simplejson": {"plain": {}, "sorted": {"sort_keys": True}, "fewer": {"skipkeys": True}},
        "json": {"plain": {}, "sorted": {"sort_keys": True}, "fewer": {"skipkeys": True}, "indented": {"indent": 1}},
        "rapidjson": {"plain": {}, "sorted": {"sort_keys": True}, "fewer": {"skipkeys": True}},
    }
    if name == "rapidjson":
        ways[name]["coerced"] = {"mapping_mode": package.MM_COERCE_KEYS_TO_STRINGS}
    return {way: lambda value, o=options: package.dumps(value, **o) for way, options in ways[name].items()}


def decoded(written: Any) -> Any:
    return json.loads(written) if isinstance(written, (str, bytes)) else written


@pytest.mark.parametrize("name", ["json", "simplejson"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_encoder_that_asks_for_the_items_writes_the_data(name: str, nested: bool) -> None:
    for encode in encoders(name).values():
        session = SessionManager(KEY).open({"HTTP_COOKIE": f"session={token_of(DATA)}"})
        assert decoded(encode({"a": session} if nested else session)) == ({"a": DATA} if nested else DATA)
        assert session.accessed


@pytest.mark.parametrize("name", ["orjson", "ujson", "msgspec", "rapidjson"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_encoder_that_reads_the_raw_dict_raises(name: str, nested: bool) -> None:
    for way, encode in encoders(name).items():
        session = SessionManager(KEY).open({"HTTP_COOKIE": f"session={token_of(DATA)}"})
        if nested and way.startswith("convert"):
            continue
        # msgspec asks a hook that gives no text for a key again and again
        with pytest.raises((TypeError, ValueError, RecursionError)):
            encode([session] if nested else session)
        assert dict(session) == DATA


@pytest.mark.parametrize("name", ["orjson", "ujson", "msgspec", "rapidjson", "json", "simplejson"])
def test_of_a_plain_dict_each_writes_the_data(name: str, session: Any) -> None:
    data = dict(session)
    assert all(decoded(encode(data)) == DATA for way, encode in encoders(name).items() if not way.startswith("msgpack"))


@pytest.mark.parametrize("name", ["orjson", "ujson", "msgspec"])
def test_a_session_that_was_touched_is_written_as_a_dict(name: str, session: Any) -> None:
    len(session)
    plain = next(iter(encoders(name).values()))
    assert decoded(plain(session)) == DATA


def test_ujson_and_msgspec_say_what_to_do(session: Any) -> None:
    ujson = pytest.importorskip("ujson")
    with pytest.raises(TypeError, match=r"not loaded yet; give it dict\(session\)"):
        ujson.dumps(session)


def test_marshal_writes_nothing(session: Any) -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        marshal.dumps(session)


def test_a_key_like_the_placeholders_is_a_key_as_any_other() -> None:
    sessions = SessionManager(KEY)
    first = sessions.open({})
    first["\ud800"] = first["a"] = 1
    cookie = dict(sessions.commit(first))["Set-Cookie"].partition(";")[0]
    session = sessions.open({"HTTP_COOKIE": cookie})
    assert "\ud800" in session
    assert session == {"\ud800": 1, "a": 1}
