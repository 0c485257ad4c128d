"""Settings in Flask's config: every loader, what Werkzeug normalizes, and the check at the start."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

flask = pytest.importorskip("flask")

from session_mw import ConfigurationError, MemoryStore, SessionManager, SessionMiddleware  # noqa: E402
from session_mw.adapters.flask import FlaskSessions  # noqa: E402
from session_mw.config import CONFIG_NAMES, FLASK_NAMES  # noqa: E402
from session_mw.settings import Settings  # noqa: E402
from support.tokens import KEY  # noqa: E402

# Names that Flask does not have, with values that differ from the default and go together.
OURS: dict[str, Any] = {
    "SESSION_ABSOLUTE_LIFETIME": 7200,
    "SESSION_DIGEST": "sha512",
    "SESSION_LEEWAY": 5,
    "SESSION_SALT": "another-salt",
    "SESSION_STORE": "memory://",
    "SESSION_STORE_ENCRYPTION": True,
}
LoaderOf = Callable[[Any, dict[str, Any], Path, pytest.MonkeyPatch], None]


def from_pyfile(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path / "settings.py").write_text("\n".join(f"{name} = {value!r}" for name, value in values.items()))
    config.from_pyfile(path / "settings.py")


def from_envvar(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_pyfile(flask.Config(path), values, path, monkeypatch)
    monkeypatch.setenv("APP_SETTINGS", str(path / "settings.py"))
    config.from_envvar("APP_SETTINGS")


def from_object(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.from_object(type("Production", (), values))


def from_mapping(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.from_mapping(values)


def from_keywords(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.from_mapping(**values)


def from_prefixed_env(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"FLASK_{name}", value if isinstance(value, str) else json.dumps(value))
    config.from_prefixed_env()


def from_prefixed_env_in_words(
    config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in values.items():
        # "True" is no JSON, so Flask leaves it a text.
        monkeypatch.setenv(f"MYAPP_{name}", str(value))
    config.from_prefixed_env("MYAPP")


def from_json(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path / "settings.json").write_text(json.dumps(values))
    config.from_file(path / "settings.json", load=json.load)


def from_toml(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # JSON's texts, numbers and booleans are TOML's.
    (path / "settings.toml").write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    config.from_file(path / "settings.toml", load=tomllib.load, text=False)


def by_item(config: Any, values: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.update(values)


LOADERS = [
    *[from_pyfile, from_envvar, from_object, from_mapping, from_keywords],
    *[from_prefixed_env, from_prefixed_env_in_words, from_json, from_toml, by_item],
]


@pytest.fixture
def app() -> Any:
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = KEY

    @app.get("/")
    def visits() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    return app


def settings_of(app: Any) -> Settings:
    interface = FlaskSessions()
    interface.init_app(app)
    settings: Settings = interface.manager_for(app).settings
    return settings


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)
def test_each_of_flasks_loaders_brings_our_settings(
    load: LoaderOf, app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(app.config, OURS, tmp_path, monkeypatch)
    settings = settings_of(app)
    assert {name: getattr(settings, CONFIG_NAMES[name]) for name in OURS} == OURS
    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)
def test_each_of_flasks_loaders_can_ask_for_encryption(
    load: LoaderOf, app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    load(app.config, {"SESSION_ENCRYPT": True, "PERMANENT_SESSION_LIFETIME": 60}, tmp_path, monkeypatch)
    settings = settings_of(app)
    assert (settings.encrypt, settings.lifetime_seconds) == (True, 60)


def test_every_setting_that_flask_has_no_name_for_is_tried_with_its_loaders() -> None:
    later = {"SESSION_REVOCATIONS", "SESSION_REVOCATIONS_MAX_AGE"} | {
        name for name in CONFIG_NAMES if name.startswith("SESSION_DEVICE_")
    }
    assert CONFIG_NAMES.keys() - FLASK_NAMES.keys() - later == OURS.keys() | {"SESSION_ENCRYPT"}


def test_names_in_lower_case_are_read_where_flask_keeps_them(app: Any) -> None:
    app.config["store"] = "memory://"
    app.config["absolute_lifetime"] = "1 day"
    settings = settings_of(app)
    assert (settings.store, settings.absolute_seconds) == ("memory://", 86400)


def test_a_store_may_be_an_object(app: Any) -> None:
    store = MemoryStore()
    app.config["SESSION_STORE"] = store
    assert settings_of(app).store is store


# What Werkzeug normalizes

WORKS_IN_FLASK = [
    {"SESSION_COOKIE_DOMAIN": "example.com:5000"},
    {"SESSION_COOKIE_DOMAIN": ".example.com"},
    {"SESSION_COOKIE_DOMAIN": "bücher.example"},
    {"SESSION_COOKIE_DOMAIN": "localhost:5000"},
    {"SESSION_COOKIE_DOMAIN": ""},
    {"SESSION_COOKIE_DOMAIN": False},
    {"SESSION_COOKIE_PATH": "/café"},
    {"SESSION_COOKIE_PATH": "/my app"},
    {"SESSION_COOKIE_PATH": "/100%25"},
    {"SESSION_COOKIE_PATH": "/a;b"},
    {"SESSION_COOKIE_PATH": ""},
    {"APPLICATION_ROOT": "/my app"},
    {"APPLICATION_ROOT": "/größe"},
    {"APPLICATION_ROOT": "/shop"},
    {"SESSION_COOKIE_PARTITIONED": True},
    {"SESSION_COOKIE_SAMESITE": "strict"},
]


def attributes(app: Any) -> set[str]:
    (cookie,) = app.test_client().get("/", base_url="https://example.com").headers.getlist("Set-Cookie")
    return {part.strip() for part in cookie.split(";")[1:]} - {"Domain="}


@pytest.mark.parametrize("config", WORKS_IN_FLASK, ids=repr)
def test_what_works_in_flask_gives_the_same_attributes(app: Any, config: dict[str, Any]) -> None:
    app.config.update(config)
    # Flask leaves SameSite out by default, and so do we with its config.
    theirs = attributes(app)
    for interface in (FlaskSessions.from_app_config(app), FlaskSessions()):
        app.session_interface = interface
        assert attributes(app) == theirs
    FlaskSessions().init_app(app)
    assert attributes(app) == theirs


@pytest.mark.parametrize("root", ["my app", "http://example.com/", 5])
def test_a_root_that_is_no_path_is_named_as_it_was_given(app: Any, root: Any) -> None:
    app.config["APPLICATION_ROOT"] = root
    with pytest.raises(ConfigurationError, match=rf"^APPLICATION_ROOT is the cookie's path .*; {root!r} does not$"):
        FlaskSessions().init_app(app)
    app.config["SESSION_COOKIE_PATH"] = "/"
    FlaskSessions().init_app(app)


# The check at the start


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"SESSION_COOKIE_SAMESITE": "sometimes"}, "cookie_samesite"),
        ({"SESSION_STOER": "memory://"}, "did you mean 'SESSION_STORE'"),
        ({"SESSION_STORE": "rediss//host"}, "URL"),
        ({"SESSION_TYPE": "redis"}, "SESSION_TYPE is a setting of Flask-Session"),
        ({"SESSION_ABSOLUTE_LIFETIME": "soon"}, "SESSION_ABSOLUTE_LIFETIME: 'soon' cannot be read"),
        ({"SECRET_KEY": ""}, "an empty key"),
        ({"SECRET_KEY_FALLBACKS": [5]}, "secret_key_fallbacks"),
        ({"SESSION_ENCRYPT": "true", "SESSION_STORE": "memory://"}, "store_encryption"),
        ({"SECRET_KEY": None, "SESSION_LEEWAY": -1}, "leeway"),
    ],
)
def test_init_app_says_at_once_what_is_wrong(app: Any, config: dict[str, Any], told: str) -> None:
    app.config.update(config)
    before = app.session_interface
    with pytest.raises(ConfigurationError, match=told):
        FlaskSessions().init_app(app)
    assert app.session_interface is before


def test_init_app_serves_several_applications_with_one_interface() -> None:
    sessions = FlaskSessions()
    for name in ("first", "second"):
        app = flask.Flask(name)
        app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_NAME=name)
        sessions.init_app(app)
        assert app.session_interface is sessions
        app.add_url_rule("/", view_func=lambda: flask.session.setdefault("a", "x"))
        assert app.test_client().get("/").headers["Set-Cookie"].startswith(f"{name}=")


def test_init_app_with_a_manager_uses_it(app: Any) -> None:
    sessions = FlaskSessions(SessionManager(store=MemoryStore(), cookie_name="mine"))
    sessions.init_app(app)
    assert app.test_client().get("/").headers["Set-Cookie"].startswith("mine=")


def test_init_app_makes_the_store_that_serves_the_requests(app: Any) -> None:
    app.config["SESSION_STORE"] = "memory://"
    sessions = FlaskSessions()
    sessions.init_app(app)
    store = sessions.manager_for(app).store
    app.test_client().get("/")
    assert sessions.manager_for(app).store is store


def test_the_key_may_come_after_init_app_and_none_is_no_warning() -> None:
    app = flask.Flask(__name__)
    FlaskSessions().init_app(app)
    app.add_url_rule("/", view_func=lambda: flask.session.setdefault("a", "x"))
    app.secret_key = KEY
    assert "Set-Cookie" in app.test_client().get("/").headers


def test_init_app_behind_the_middleware_leaves_the_session_to_it(app: Any) -> None:
    app.wsgi_app = SessionMiddleware(app.wsgi_app, KEY, cookie_name="outer")
    FlaskSessions().init_app(app)
    assert app.test_client().get("/").headers["Set-Cookie"].startswith("outer=")


@pytest.mark.parametrize("wrong", ["an app", None, flask.Flask])
def test_init_app_takes_an_application(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="init_app takes a Flask application, not "):
        FlaskSessions().init_app(wrong)
