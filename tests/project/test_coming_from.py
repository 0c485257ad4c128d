"""The pages for those who come from elsewhere: what their tables name is there, on both sides."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path

import pytest

from session_mw import Session, SessionManager
from session_mw.settings import Settings
from support.django_project import configure_django
from support.tokens import KEY
from support.visitors import Visitor

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ["beaker", "django", "flask-login", "flask-session", "pyramid"]
SETTINGS = set(Settings.__dataclass_fields__)
# What each session may set for itself lives in its metadata, not always as an attribute of the class.
ON_A_SESSION = set(dir(Session)) | {"modified", "accessed", "lifetime"}


def text_of(name):
    return (DOCS / f"coming-from-{name}.md").read_text(encoding="utf-8")


def tables(name):
    """The rows of the two tables, as pairs of cells."""
    parts = re.split(r"^\| there.*\n\|---\|---\|\n", text_of(name), flags=re.M)[1:]
    return [
        [
            tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
            for line in part.partition("\n\n")[0].splitlines()
        ]
        for part in parts
    ]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def theirs(name, pattern):
    """What the first column of the table of settings names."""
    return {found for there, _ in tables(name)[0] for span in code(there) for found in re.findall(pattern, span)}


@pytest.mark.parametrize("name", NAMES)
def test_each_page_has_two_tables_and_says_what_is_different(name):
    settings, calls = tables(name)

    assert len(settings) >= 5
    assert len(calls) >= 5
    assert all(len(row) == 2 and all(row) for row in settings + calls)
    assert "\nWhat is different:\n" in text_of(name)
    assert re.search(r"Compared\s+with [A-Z]\S+ \d", text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_a_page_writes_for_here_exists(name):
    spans = [span for _, here in tables(name)[0] for span in code(here)]
    with_values = {found for span in spans for found in re.findall(r"\b([a-z_]+)=(?!=)", span)}
    bare = {span.removeprefix("session.") for span in spans if re.fullmatch(r"(session\.)?(cookie_)?[a-z_]+", span)}
    others = {"table", "prefix", "trusted_origins", "auto", "last_used", "days", "session", "sessions", "store", "file"}

    assert (with_values | bare) - others - ON_A_SESSION <= SETTINGS


@pytest.mark.parametrize("name", NAMES)
def test_every_call_that_a_page_writes_for_here_exists(name):
    spans = " ".join(span for table in tables(name) for _, here in table for span in code(here))
    calls = set(re.findall(r"(?<![\w.])(?:request\.)?session\.(\w+)\(?", spans))
    settings_of_pyramid = {"store"} | SETTINGS

    assert calls - settings_of_pyramid <= ON_A_SESSION | {
        "changed",
        "flash",
        "pop_flash",
        "peek_flash",
        "get_csrf_token",
        "new_csrf_token",
    }
    assert all(hasattr(SessionManager, call) for call in re.findall(r"(?<![\w.])sessions\.(\w+)\(", spans))


def test_every_setting_of_flask_session_is_in_its_table():
    defaults = pytest.importorskip("flask_session.defaults").Defaults
    known = {name for name in vars(defaults) if name.startswith("SESSION_")}
    of_flask = {"SESSION_REFRESH_EACH_REQUEST", "SESSION_COOKIE_NAME", "PERMANENT_SESSION_LIFETIME"}
    # One row is for all settings of MongoDB and of DynamoDB.
    listed = theirs("flask-session", r"\b[A-Z]+_[A-Z_]+\b")

    assert listed - of_flask <= known
    assert {name for name in known - listed if "MONGODB" not in name and "DYNAMODB" not in name} == set()


def test_every_setting_of_django_in_its_table_is_djangos_and_none_of_its_sessions_is_left_out():
    known = vars(pytest.importorskip("django.conf.global_settings"))
    listed = theirs("django", r"(?<![\w.])[A-Z]+_[A-Z_]+\b")

    assert listed <= known.keys()
    assert {name for name in known if name.startswith("SESSION_")} <= listed
    engines = theirs("django", r"django\.contrib\.sessions\.backends\.\w+")
    assert len(engines) == 5
    for engine in engines:
        pytest.importorskip(engine)


def test_every_argument_of_pyramids_factory_is_in_its_table_with_its_default():
    session = pytest.importorskip("pyramid.session")
    rows = {name: there for there, _ in tables("pyramid")[0] for name in code(there.partition("(")[0])}
    arguments = inspect.signature(session.SignedCookieSessionFactory).parameters

    assert rows.keys() == arguments.keys()
    for name, argument in arguments.items():
        shown = re.search(r"\((.*?)\)", rows[name])
        if shown and shown[1] != "JSON":
            assert shown[1].strip("`").removesuffix(" seconds") == str(argument.default)


def test_every_option_of_beakers_sessions_is_in_its_table():
    session = pytest.importorskip("beaker.session")
    known = {
        name
        for cls in (session.Session, session.CookieSession)
        for name in inspect.signature(cls).parameters
        if name not in ("request", "id", "kwargs", "namespace_args", "namespace_class")
    }
    listed = {span.partition("=")[0] for there, _ in tables("beaker")[0] for span in code(there)}

    assert known <= listed
    assert listed - known == {"url", "lock_dir", "session_class", "auto", "beaker.session.id"}


def test_every_name_of_flask_logins_config_in_its_table_is_read_by_it():
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(pytest.importorskip("flask_login").__file__).parent.glob("*.py")
    )
    names = {"REMEMBER_COOKIE_NAME", "REMEMBER_COOKIE_DURATION", "REMEMBER_COOKIE_SECURE", "USE_SESSION_FOR_NEXT"}

    assert names <= theirs("flask-login", r"\b[A-Z]+_[A-Z_]+\b")
    assert all(f'"{name}"' in source for name in names | {"SESSION_PROTECTION"})


# The code of the pages


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a page's Python as a module of that name; its names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", KEY)

    def run_page(name):
        module = types.ModuleType("coming_from")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text_of(name), flags=re.M | re.S))
        exec(compile(code, name, "exec"), vars(module))
        return vars(module)

    return run_page


def test_the_app_from_beaker_counts_visits(run):
    visitor = Visitor(run("beaker")["application"])

    assert [visitor.get().body for _ in range(3)] == [b"visit 1\n", b"visit 2\n", b"visit 3\n"]


def test_the_app_from_flask_session_logs_in_and_out(run):
    pytest.importorskip("flask")
    page = run("flask-session")
    client = page["app"].test_client()

    assert "Expires=" in client.post("/login").headers["Set-Cookie"]
    with client.session_transaction() as session:
        assert session == {"user_id": "42", "_permanent": True}
    assert "Max-Age=0" in client.post("/logout").headers["Set-Cookie"]


def test_the_view_from_pyramid_shows_each_message_once(run):
    pytest.importorskip("pyramid")
    visitor = Visitor(run("pyramid")["app"])

    for _ in range(3):
        answer = visitor.get("/login")
        assert answer.body == b'{"user": "ann", "messages": ["Welcome back."]}'
        assert "Expires=" in answer.cookies[0]


def test_a_view_of_django_has_the_session_of_the_environ(run, monkeypatch):
    pytest.importorskip("django")
    configure_django()
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def index(request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return HttpResponse(f"visit {request.session['visits']}")

    monkeypatch.setattr(settings, "ROOT_URLCONF", (path("", index),))
    monkeypatch.setattr(settings, "MIDDLEWARE", ["coming_from.session_of_the_environ"])
    visitor = Visitor(run("django")["application"])
    assert [visitor.get().body for _ in range(2)] == [b"visit 1", b"visit 2"]
    assert list(visitor.jar) == ["websession"]
