"""Names of other libraries' sessions get an answer that says what to write here."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import session_mw.foreign_names
from session_mw import Session, SessionManager
from session_mw.cli import main
from session_mw.foreign_names import hint_for
from session_mw.settings import Settings

BEAKER = "save delete persist has_key revert get_by_id lock unlock load is_new dirty last_accessed domain path".split()
DJANGO = (
    "save delete load create exists flush cycle_key set_expiry get_expiry_age get_expiry_date session_key".split()
    + "get_expire_at_browser_close clear_expired set_test_cookie test_cookie_worked delete_test_cookie".split()
    + "has_key is_empty encode decode".split()
)
FLASK_SESSION = ["sid", "regenerate"]
PYRAMID = "changed flash pop_flash peek_flash get_csrf_token new_csrf_token renewed".split()
ALL = sorted({*BEAKER, *DJANGO, *FLASK_SESSION, *PYRAMID, "timeout", "max_age", "destroy", "acquire_lock", "commit"})


@pytest.mark.parametrize("name", ALL)
def test_a_name_of_another_librarys_session_has_a_hint_that_stands_after_a_colon(name):
    hint = hint_for(name)

    assert hint is not None
    assert 10 < len(hint) < 200
    assert not hint.endswith(".")
    assert hint[0].islower()


def public_names_of(cls):
    return {name for base in cls.__mro__[:-1] for name in vars(base) if not name.startswith("_")} - set(dir(dict))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("django.contrib.sessions.backends.base", "SessionBase"),
        ("beaker.session", "Session"),
        ("beaker.session", "CookieSession"),
        ("beaker.session", "SessionObject"),
        ("pyramid.interfaces", "ISession"),
    ],
)
def test_every_name_of_a_librarys_session_that_is_not_ours_has_a_hint(module, name):
    cls = getattr(pytest.importorskip(module), name)
    names = set(cls) if module == "pyramid.interfaces" else public_names_of(cls)
    if module.startswith("django"):
        # Constants, and what is of no use outside of a class that keeps sessions.
        names -= {"TEST_COOKIE_NAME", "TEST_COOKIE_VALUE", "key_salt"}
    if module.startswith("beaker"):
        names -= {"serialize_cookie_date"}
    ours = {ours for ours in dir(Session) if hasattr(Session, ours)} | {"accessed"}

    assert {theirs for theirs in names - ours if not theirs.startswith("__") and hint_for(theirs) is None} == set()


@pytest.mark.parametrize("name", sorted(name for name in dir(Session) if hasattr(Session, name)))
def test_what_a_session_has_has_no_hint(name):
    assert hint_for(name) is None


@pytest.mark.parametrize("name", [*ALL, "aset", "aget", "asave"])
def test_a_session_answers_to_a_foreign_name_with_the_hint(name):
    session = SessionManager("a-secret-key-of-32-characters-00").open({})
    with pytest.raises(AttributeError) as read:
        getattr(session, name)
    with pytest.raises(AttributeError) as written:
        setattr(session, name, 1)
    assert str(read.value) == str(written.value) == f"a session has no attribute {name!r}: {hint_for(name)}"
    assert not hasattr(session, name)
    assert not session.accessed


def test_a_misspelt_attribute_is_an_error_that_names_no_class_of_the_inside():
    session = SessionManager("a-secret-key-of-32-characters-00").open({})
    with pytest.raises(AttributeError, match=r"^'Session' object has no attribute 'principle'"):
        session.principle = "42"


@pytest.mark.parametrize(
    "name", ["", "a", "as", "user", "cart", "principle", "__len__", "_ipython_display_", "__fspath__"]
)
def test_any_other_name_has_none(name):
    assert hint_for(name) is None


@pytest.mark.parametrize(("coroutine", "plain"), [("asave", "save"), ("acycle_key", "cycle_key"), ("aflush", "flush")])
def test_djangos_coroutines_have_the_hint_of_the_plain_method(coroutine, plain):
    assert hint_for(coroutine) == hint_for(plain)


def test_djangos_coroutines_of_a_dict_have_the_dicts_method():
    assert hint_for("aget") == "there are no coroutines here; write: session.get(...)"
    assert hint_for("aset") == "there are no coroutines here; write: session[key] = value"


def test_every_name_that_a_hint_mentions_exists():
    hints = " ".join(filter(None, map(hint_for, ALL)))
    on_session = set(re.findall(r"\bsession\.(\w+)", hints))
    on_manager = set(re.findall(r"\bsessions\.(\w+)", hints))
    settings = set(re.findall(r"\bcookie_\w+", hints))

    # What each session may set for itself lives in its metadata, not always as an attribute of the class.
    assert {name for name in on_session - {"lifetime"} if not hasattr(Session, name) and name != "modified"} == set()
    assert on_session >= {"modified", "invalidate", "regenerate_id", "id", "new", "permanent", "lifetime"}
    assert all(hasattr(SessionManager, name) for name in on_manager)
    assert settings <= set(Settings.__dataclass_fields__)
    for module, names in re.findall(r"from (\S+) import ([\w, ]+)", hints):
        assert all(hasattr(importlib.import_module(module), name.strip()) for name in names.split(","))


def test_the_command_that_a_hint_names_is_there(capsys):
    assert "session-mw sweep URL" in hint_for("clear_expired")
    with pytest.raises(SystemExit, match="0"):
        main(["sweep", "--help"])
    assert "URL" in capsys.readouterr().out


def test_the_module_imports_nothing_of_the_package():
    tree = ast.parse(Path(session_mw.foreign_names.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]

    imported = [ast.unparse(node) for node in imports]
    assert imported == ["from __future__ import annotations", "from typing import Any, NoReturn"]
