"""Settings from a mapping: Flask's config names, ours, and texts of .ini files."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw import ConfigurationError, SessionManager
from session_mw.config import CONFIG_NAMES, FLASK_NAMES, SETTING_NAMES, settings_from_mapping

KEY = "test-secret-key-0123456789abcdef"
DAY = 86400


def test_flasks_names_and_ours_mean_the_same():
    values: dict[str, Any] = {
        "SECRET_KEY": KEY,
        "SECRET_KEY_FALLBACKS": ["old"],
        "SESSION_COOKIE_NAME": "s",
        "SESSION_COOKIE_DOMAIN": "example.com",
        "SESSION_COOKIE_PATH": "/app",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PARTITIONED": True,
        "PERMANENT_SESSION_LIFETIME": timedelta(days=1),
        "SESSION_REFRESH_EACH_REQUEST": False,
    }
    assert set(values) == set(FLASK_NAMES)
    ours = {FLASK_NAMES[name]: value for name, value in values.items()}
    assert settings_from_mapping(values) == ours == settings_from_mapping(ours)


def test_each_setting_has_a_name_in_upper_case():
    assert set(CONFIG_NAMES.values()) == set(SETTING_NAMES)
    assert FLASK_NAMES.items() <= CONFIG_NAMES.items()
    ours = {name: setting for name, setting in CONFIG_NAMES.items() if name not in FLASK_NAMES}
    assert ours == {f"SESSION_{setting.upper()}": setting for setting in ours.values()}
    assert {"SESSION_STORE", "SESSION_ENCRYPT", "SESSION_ABSOLUTE_LIFETIME", "SESSION_SALT"} <= set(ours)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *[
            ("SESSION_ENCRYPT", "yes", True),
            ("SESSION_STORE_ENCRYPTION", 0, False),
            ("SESSION_DIGEST", "sha512", "sha512"),
        ],
        *[("SESSION_ABSOLUTE_LIFETIME", "1 day", DAY), ("SESSION_LEEWAY", "5", 5), ("SESSION_LEEWAY", 5, 5)],
        *[("SESSION_STORE", "memory://", "memory://"), ("SESSION_SALT", "other", "other")],
    ],
)
def test_our_settings_are_read_in_upper_case(name, text, value):
    assert settings_from_mapping({name: text}) == {CONFIG_NAMES[name]: value}
    with pytest.raises(ConfigurationError, match=f"{CONFIG_NAMES[name]} is given twice"):
        settings_from_mapping({name: text, CONFIG_NAMES[name]: text})


def test_a_whole_flask_config_builds_a_manager():
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_SAMESITE="lax", TESTING=True)
    settings = SessionManager.from_mapping(app.config).settings
    assert (settings.secret_key, settings.cookie_name, settings.cookie_samesite) == (KEY, "session", "Lax")
    assert (settings.cookie_secure, settings.lifetime_seconds) == (False, 31 * DAY)


def test_other_upper_case_names_are_ignored():
    assert settings_from_mapping({"DEBUG": True, "SQLALCHEMY_URL": "x", "SECRET": 1, "COOKIE_NAME": 2, "": 3}) == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SESSION_COOKIE_NAM", "did you mean 'SESSION_COOKIE_NAME'"),
        ("SESSION_COOKIE_SAME_SITE", "did you mean 'SESSION_COOKIE_SAMESITE'"),
        ("SESSION_REFRESH", "did you mean 'SESSION_REFRESH_EACH_REQUEST'"),
        ("SESSION_LIFETIME", "did you mean 'PERMANENT_SESSION_LIFETIME'"),
        ("SESSION_SECRET_KEY", "did you mean 'SECRET_KEY'"),
        ("SESSION_ENCRYPTION", "did you mean 'SESSION_ENCRYPT"),
        ("SESSION_STOR", "did you mean 'SESSION_STORE'"),
        ("session_store", "did you mean 'store'"),
        ("cookie_nam", "did you mean 'cookie_name'"),
        ("Secret_key", "did you mean 'secret_key'"),
        ("session_cookie_name", "did you mean 'cookie_name'"),
        ("qqqq", "the settings are secret_key, "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, hint):
    with pytest.raises(ConfigurationError, match=f"'{name}' is not a setting") as caught:
        settings_from_mapping({name: 1})
    assert hint in str(caught.value)


@pytest.mark.parametrize("name", [5, None, b"secret_key", ("a",)])
def test_a_name_that_is_not_a_text_is_refused(name):
    with pytest.raises(ConfigurationError, match="the name of a setting is a str"):
        settings_from_mapping({name: 1})


def test_one_setting_by_two_names_is_refused_without_showing_the_values():
    with pytest.raises(ConfigurationError, match="secret_key is given twice") as caught:
        settings_from_mapping({"SECRET_KEY": KEY, "secret_key": KEY})
    assert KEY not in str(caught.value)
    assert settings_from_mapping({"SECRET_KEY": KEY, "secret_key": None}) == {"secret_key": KEY}


def test_none_means_the_default_except_for_samesite():
    settings = settings_from_mapping({**dict.fromkeys(FLASK_NAMES), "store": None, "absolute_lifetime": None})
    assert settings == {"cookie_samesite": None}


BOOLEANS = sorted(
    {"cookie_httponly", "cookie_partitioned", "cookie_secure", "encrypt", "refresh_each_request", "store_encryption"}
)


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, True) for text in ("true", "True", "YES", "on", " 1 ", 1, True)],
        *[(text, False) for text in ("false", "False", "NO", "off\n", "0", 0, False)],
    ],
)
def test_words_for_true_and_false_are_read(name, text, value):
    assert settings_from_mapping({name: text})[name] is value


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("text", ["", "maybe", "2", "tru", "None", "\u0661"])
def test_other_words_are_refused(name, text):
    with pytest.raises(ConfigurationError, match=f"^{name}: {text!r} cannot be read; write true"):
        settings_from_mapping({name: text})


def test_secure_may_be_auto():
    assert settings_from_mapping({"cookie_secure": " Auto "}) == {"cookie_secure": "auto"}
    with pytest.raises(ConfigurationError, match="cookie_httponly: 'auto' cannot be read"):
        settings_from_mapping({"cookie_httponly": "auto"})


@pytest.mark.parametrize("name", ["lifetime", "absolute_lifetime", "leeway"])
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0", 0), ("3600", 3600), (" 60 ", 60), ("1 second", 1), ("90 seconds", 90), ("5 minutes", 300)],
        *[("1 hour", 3600), ("30 days", 30 * DAY), ("30days", 30 * DAY), ("2 WEEKS", 14 * DAY), ("1 Day", DAY)],
        *[("1 day, 12 hours", DAY + 43200), ("1 hour and 30 minutes", 5400), ("1 day 1 hour", DAY + 3600)],
    ],
)
def test_durations_are_read_as_seconds_or_with_units(name, text, seconds):
    assert settings_from_mapping({name: text}) == {name: seconds}


@pytest.mark.parametrize("name", ["lifetime", "absolute_lifetime", "leeway"])
def test_an_empty_duration_means_the_default(name):
    for text in ("", " ", "none", "None"):
        assert settings_from_mapping({name: text}) == {}


@pytest.mark.parametrize(
    "text",
    [
        *["-5", "1.5", "1e3", "five days", "5 years", "5 d", "days", "5 days 3", "3 5 days", "and", ",", "1 day x"],
        *["31 days, 0:00:00", "0:00:30", "٣ days", "٣", "nan", "inf", "9" * 5000, "5 days;"],
    ],
)
def test_other_durations_are_refused(text):
    with pytest.raises(ConfigurationError, match=r"^lifetime: .* cannot be read; write seconds, or a text such as"):
        settings_from_mapping({"lifetime": text})


@pytest.mark.parametrize(
    ("text", "value"),
    [("lax", "Lax"), ("STRICT", "Strict"), (" none ", "None"), ("None", "None"), ("", None), (None, None)],
)
def test_samesite_is_read_in_any_case_and_empty_leaves_it_out(text, value):
    assert settings_from_mapping({"cookie_samesite": text}) == {"cookie_samesite": value}


@pytest.mark.parametrize(
    ("text", "keys"), [("", []), ("old", ["old"]), (" new  older\n oldest ", ["new", "older", "oldest"])]
)
def test_fallback_keys_are_parted_by_white_space(text, keys):
    assert settings_from_mapping({"SECRET_KEY_FALLBACKS": text}) == {"secret_key_fallbacks": keys}


# What Werkzeug normalizes


DOMAINS = ["example.com:5000", ".example.com", "bücher.example", ".bücher.example:80", "localhost:8080", "Example.COM:"]
PATHS = ["/my app", "/café", "/%20", "/a%2Fb", "/a;b", '/a"b', "/a<b>", "/ü?x=1#y", "/a|b", "/a~b!$&'()*+,:=@"]


@pytest.mark.parametrize("name", ["SESSION_COOKIE_DOMAIN", "cookie_domain"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_is_sent_as_werkzeug_sends_it(name, domain):
    http = pytest.importorskip("werkzeug.http")
    settings = SessionManager.from_mapping({"secret_key": KEY, name: domain}).settings
    assert f"Domain={settings.cookie_domain};" in http.dump_cookie("session", domain=domain)


@pytest.mark.parametrize("name", ["SESSION_COOKIE_PATH", "cookie_path"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_sent_as_werkzeug_sends_it(name, path):
    http = pytest.importorskip("werkzeug.http")
    settings = SessionManager.from_mapping({"secret_key": KEY, name: path}).settings
    assert http.dump_cookie("session", path=path).endswith(f"; Path={settings.cookie_path}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("cookie_domain", text)
            for text in ("a..b", "http://a.com", "a b", "[::1]:80", "a.com:80x", "é" * 64, "\ud800")
        ],
        *[("cookie_domain", value) for value in ("", ".", ":80", 5, b"a.com")],
        *[("cookie_path", value) for value in ("", "app", "http://a.com/", "/\ud800", 5, b"/")],
    ],
)
def test_what_cannot_be_normalized_is_refused_as_it_was_given(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name} is ") as caught:
        SessionManager.from_mapping({"secret_key": KEY, name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("empty", ["", None, False])
def test_flasks_domain_and_path_are_left_out_where_they_are_empty(empty):
    assert settings_from_mapping(dict.fromkeys(["SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH"], empty)) == {}


def test_partitioned_makes_flasks_default_for_secure_true_as_in_werkzeug():
    config = {"SESSION_COOKIE_PARTITIONED": True, "SESSION_COOKIE_SECURE": False}
    assert settings_from_mapping(config) == {"cookie_partitioned": True, "cookie_secure": True}
    with pytest.raises(ConfigurationError, match="browsers refuse Partitioned without Secure"):
        SessionManager.from_mapping({"secret_key": KEY, "cookie_partitioned": True, "cookie_secure": "false"})


# Flask-Session's settings


def names_of_flask_session():
    defaults = pytest.importorskip("flask_session.defaults").Defaults
    return {name for name in vars(defaults) if name.startswith("SESSION_")}


def test_each_setting_of_flask_session_is_an_error_that_says_what_to_write():
    names = names_of_flask_session()
    assert len(names) > 20
    for name in names:
        with pytest.raises(ConfigurationError) as caught:
            SessionManager.from_mapping({"SECRET_KEY": KEY, name: "redis://:hunter2@host"})
        told = str(caught.value)
        assert re.match(f"{name} is a setting of Flask-Session, not of session_mw; (write|take it out: ) ?", told)
        assert "hunter2" not in told


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("SESSION_TYPE", "redis", "SESSION_STORE = 'redis://host:6379/0'"),
        ("SESSION_TYPE", "FileSystem", "SESSION_STORE = 'file:///"),
        ("SESSION_TYPE", "mongodb", "an object with the methods of session_mw.protocols.Store"),
        ("SESSION_TYPE", "null", "SESSION_STORE and a URL"),
        ("SESSION_TYPE", None, "SESSION_STORE and a URL"),
        ("SESSION_REDIS", object(), "SESSION_STORE = 'redis://host:6379/0'"),
        ("SESSION_MEMCACHED", object(), "SESSION_STORE = 'memcached://host:11211'"),
        ("SESSION_FILE_DIR", "/tmp/x", "SESSION_STORE = 'file:///"),
        ("SESSION_SQLALCHEMY", object(), "SESSION_STORE = 'postgresql+psycopg://"),
        ("SESSION_SQLALCHEMY_TABLE", "s", "?table=websessions in the URL of SESSION_STORE"),
        ("SESSION_KEY_PREFIX", "app:", "?prefix=app: in the URL of SESSION_STORE"),
        ("SESSION_PERMANENT", False, "session.permanent = True at log-in"),
        ("SESSION_USE_SIGNER", True, "take it out: ids cannot be guessed"),
        ("SESSION_ID_LENGTH", 32, "take it out: an id has 32 random bytes"),
    ],
)
def test_what_to_write_instead_of_a_setting_of_flask_session(name, value, instead):
    with pytest.raises(ConfigurationError, match=re.escape(instead)):
        settings_from_mapping({name: value})


def test_values_are_checked_by_the_manager():
    for bad in ({"lifetime": "0"}, {"cookie_name": "a b"}, {"SESSION_COOKIE_SAMESITE": "foo"}, {"leeway": [1]}):
        with pytest.raises(ConfigurationError):
            SessionManager.from_mapping({"SECRET_KEY": KEY, **bad})


def test_an_ini_section_builds_a_manager():
    settings = SessionManager.from_mapping(
        {"secret_key": KEY, "lifetime": "2 hours", "cookie_secure": "yes", "cookie_name": "__Host-s", "leeway": "5"}
    ).settings
    assert (settings.lifetime_seconds, settings.leeway_seconds, settings.cookie_secure) == (7200, 5, True)


def test_an_empty_mapping_builds_a_manager_without_a_key():
    with pytest.warns(UserWarning, match="neither secret_key nor store is set"):
        assert SessionManager.from_mapping({}).open({}) == {}


names = st.sampled_from([*SETTING_NAMES, *CONFIG_NAMES]) | st.text(max_size=12)
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())


@given(st.dictionaries(names, values, max_size=4))
def test_any_mapping_gives_settings_or_a_configuration_error(mapping):
    try:
        settings = settings_from_mapping(mapping)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017
    else:
        assert set(settings) <= set(SETTING_NAMES)


def test_flask_logins_setting_is_left_to_flask_login():
    assert settings_from_mapping({"SESSION_PROTECTION": "strong", "SECRET_KEY": "k" * 32}) == {"secret_key": "k" * 32}
