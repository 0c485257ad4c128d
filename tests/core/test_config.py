"""Settings from a mapping: Flask's config names, ours, and texts of .ini files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw import ConfigurationError, SessionManager
from session_mw.config import FLASK_NAMES, SETTING_NAMES, settings_from_mapping

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
    assert SessionManager.from_mapping({}).open({}) == {}


names = st.sampled_from([*SETTING_NAMES, *FLASK_NAMES]) | st.text(max_size=12)
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text())


@given(st.dictionaries(names, values, max_size=4))
def test_any_mapping_gives_settings_or_a_configuration_error(mapping):
    mapping.pop("store", None)
    try:
        settings = settings_from_mapping(mapping)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017
    else:
        assert set(settings) <= set(SETTING_NAMES)


def test_flask_logins_setting_is_left_to_flask_login():
    assert settings_from_mapping({"SESSION_PROTECTION": "strong", "SECRET_KEY": "k" * 32}) == {"secret_key": "k" * 32}
