"""Every setting is checked when a manager is built; keys are shown nowhere."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import traceback
import warnings
from datetime import timedelta
from typing import Any

import pytest

from session_mw import ConfigurationError, SessionManager, SessionMiddleware, WeakSecretKeyWarning
from session_mw.config import SETTING_NAMES
from session_mw.secret_keys import MIN_LENGTH, generate, is_weak
from session_mw.settings import MAX_LIFETIME, SettingNames, Settings
from support.held import parts_of

KEY = "test-secret-key-0123456789abcdef"
OLD = "an-old-secret-key-0123456789abcd"

GOOD: dict[str, list[Any]] = {
    "secret_key_fallbacks": [[], (), [OLD], (OLD, b"another old key 0123456789abcdef")],
    "salt": ["other", "é", "cookie-session"],
    "cookie_name": ["session", "s", "a.b", "!#$%&'*+-.^_`|~", "__Secure-s", "__Host-s", "expires", "x" * 1024],
    "cookie_domain": [None, "example.com", ".example.com", "localhost", "a-b.c1.d", "127.0.0.1"],
    "cookie_path": ["/", "/app", "/app/", "/a,b", "/%20"],
    "cookie_secure": ["auto", True, False],
    "cookie_httponly": [True, False],
    "cookie_samesite": ["Lax", "Strict", "None", None],
    "cookie_partitioned": [True, False],
    "lifetime": [1, 60, 1.5, timedelta(days=31), timedelta(seconds=1), MAX_LIFETIME],
    "absolute_lifetime": [None, 1, timedelta(days=1)],
    "refresh_each_request": [True, False],
    "leeway": [0, 60, timedelta(0), timedelta(minutes=5)],
    "digest": ["sha1", "sha256", "sha512"],
    "store": [None],
    "revocations": [None, "memory://"],
    "revocations_max_age": [1, 60, timedelta(minutes=5)],
    "device_bound": [False, True, "report"],
    "device_path": ["/.session-device", "/a", "/app/device_1/~x", "/..."],
    "device_proof_lifetime": [1, 600, 3600, timedelta(minutes=10)],
    "encrypt": [False],
    "store_encryption": [False],
}
BAD: dict[str, list[Any]] = {
    "secret_key_fallbacks": [OLD, b"old key", 5, [""], [b"\0"], [5], [None], {OLD}, [OLD, ""], iter([OLD])],
    "salt": ["", None, b"salt", 5, "\ud800"],
    "cookie_name": ["", "a b", "a\r\nX:1", "a=b", "a;b", 'a"b', "é", "a\n", "a\x00", None, b"s", 5, "a,b", "x" * 2000],
    "cookie_domain": [
        *[
            "",
            "evil.com; HttpOnly",
            "a b",
            "a..b",
            "-a.com",
            "a-.com",
            "a_b.com",
            "http://a.com",
            "a.com:80",
            "a.com\n",
        ],
        *["é.com", "a.com/", "..com", ".", "*.com", "a" * 64 + ".com", "a." * 130 + "com", 5, b"a.com", False],
    ],
    "cookie_path": ["", "app", "/a b", "/a;b", "/a\r\n", "/é", "/a\x7f", "/\x00", None, b"/", 5, "/a\n"],
    "cookie_secure": ["yes", None, 1, 0, "Auto", "", [], 1.0],
    "cookie_httponly": ["true", None, 1, 0, ""],
    "cookie_samesite": ["foo", "lax", "", True, 5, "Lax; X", [], "none"],
    "cookie_partitioned": ["true", None, 1],
    "lifetime": [
        0,
        -1,
        0.5,
        "30 days",
        None,
        True,
        float("nan"),
        float("inf"),
        timedelta(0),
        timedelta(-1),
        10**12,
        [],
        b"",
    ],
    "absolute_lifetime": [0, -1, "1", True, float("nan"), timedelta(milliseconds=999)],
    "refresh_each_request": [1, "true", None],
    "leeway": [-1, None, True, "60", float("nan"), timedelta(-1), 10**12],
    "digest": ["md5", "SHA1", None, "", b"sha1", 5, [], "sha224"],
    "store": [5, object(), {}, ["memory://"], b"redis://user:hunter2@host/0"],
    "revocations": [5, object(), {}, ["memory://"], b"redis://user:hunter2@host/0"],
    "revocations_max_age": [0, -1, None, True, "60", float("nan"), timedelta(-1), 10**12],
    "device_bound": [None, 1, 0, "true", "Report", "", [], 1.0],
    "device_path": [
        *["", "/", "device", "/device/", "//device", "/a//b", "/a b", '/a"b', "/a;b", "/a?b", "/a#b", "/%41", "/é"],
        *["/a\\b", "/..", "/a/../b", "/./a", "/a\n", None, b"/a", 5],
    ],
    "device_proof_lifetime": [0, -1, 3601, None, True, "600", float("nan"), timedelta(hours=2)],
    "encrypt": [1, "true", None],
    "store_encryption": [1, "true", None],
}


def cases(settings: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in settings.items() for value in values]


def test_every_setting_is_in_the_tables():
    names = {*SETTING_NAMES} - {"secret_key"}
    assert names == set(GOOD) == set(BAD) == set(SettingNames.__annotations__)


@pytest.mark.parametrize(("name", "value"), cases(GOOD))
def test_a_good_value_is_taken(name, value):
    manager = SessionManager(KEY, **{name: value})
    session = manager.open({"wsgi.url_scheme": "https"})
    session["a"] = 1
    headers = manager.commit(session)
    assert [header for header, _ in headers] == ["Vary", "Set-Cookie"]
    assert all(text.isascii() and text.isprintable() for _, text in headers)


@pytest.mark.parametrize(("name", "value"), cases(BAD))
def test_a_bad_value_is_refused_when_the_manager_is_built(name, value):
    for build in (lambda **settings: SessionManager(KEY, **settings), lambda **s: SessionMiddleware(print, KEY, **s)):
        with pytest.raises(ConfigurationError, match=name) as caught:
            build(**{name: value})
        assert isinstance(caught.value, ValueError)
        assert KEY not in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["salt", "cookie_name", "cookie_domain", "cookie_path", "cookie_samesite", "lifetime", "leeway", "digest"]
)
def test_the_message_shows_the_bad_value(name):
    for value in BAD[name]:
        with pytest.raises(ConfigurationError) as caught:
            SessionManager(KEY, **{name: value})
        assert repr(value) in str(caught.value) or str(len(value)) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "instead"),
    [
        ({"cookie_domain": "example.com:5000"}, "write 'example.com'"),
        ({"cookie_domain": "bücher.example"}, "write 'xn--bcher-kva.example'"),
        ({"cookie_path": "/my app"}, "write '/my%20app'"),
        ({"cookie_path": "/café"}, "write '/caf%C3%A9'"),
    ],
)
def test_a_domain_or_path_that_could_be_written_otherwise_is_refused_with_that(settings, instead):
    with pytest.raises(ConfigurationError, match=f"; {instead}$"):
        SessionManager(KEY, **settings)


@pytest.mark.parametrize("name", ["encrypt", "cookie_secure", "cookie_httponly", "refresh_each_request"])
def test_a_boolean_of_numpy_is_refused_by_its_type(name):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(ConfigurationError, match=rf"^{name} is True.* of type numpy\.bool_?; write bool\(value\)$"):
        SessionManager(KEY, **{name: numpy.bool_(True)})


def test_a_number_of_numpy_is_a_number_of_seconds():
    numpy = pytest.importorskip("numpy")
    assert Settings(KEY, lifetime=numpy.int64(60), leeway=numpy.float32(1.5)).lifetime_seconds == 60


def test_neither_a_key_nor_a_store_is_warned_of_at_the_line_that_builds():
    for build in (SessionManager, lambda: SessionMiddleware(print), lambda: SessionManager.from_mapping({})):
        with pytest.warns(UserWarning, match=r"neither secret_key nor store is set.* set secret_key=") as caught:
            build()
        assert [(warning.filename, warning.category) for warning in caught] == [(__file__, UserWarning)]


@pytest.mark.parametrize("settings", [{"secret_key": KEY}, {"store": "memory://"}])
def test_a_key_or_a_store_is_enough_to_build_without_a_warning(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SessionManager(**settings).settings


def test_the_package_is_imported_without_a_warning():
    command = [sys.executable, "-W", "error", "-c", "import session_mw; print(session_mw.SessionManager.__name__)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("SessionManager\n", "", 0)


@pytest.mark.parametrize("store", [Settings, dict])
def test_the_class_of_a_store_is_no_store(store):
    with pytest.raises(ConfigurationError, match=f"store is a URL or an object.*not the class {store.__name__}"):
        SessionManager(KEY, store=store)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cookie_nam", "cookie_name"),
        ("samesite", "cookie_samesite"),
        ("life_time", "lifetime"),
        ("secret_keys", "secret_key"),
        ("fallbacks", "secret_key_fallbacks"),
        ("http_only", "cookie_httponly"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, nearest):
    with pytest.raises(ConfigurationError, match=f"'{name}' is not a setting; did you mean '{nearest}'"):
        SessionManager(KEY, **{name: 1})


def test_a_name_that_is_near_to_none_is_refused_with_all_of_them():
    with pytest.raises(ConfigurationError, match="'qqqq' is not a setting; the settings are secret_key, "):
        SessionManager(KEY, qqqq=1)


# Attributes that browsers refuse together


@pytest.mark.parametrize("name", ["__Host-s", "__host-s", "__Host-Http-s"])
@pytest.mark.parametrize("other", [{"cookie_domain": "example.com"}, {"cookie_path": "/app"}])
def test_the_host_prefix_goes_with_no_domain_and_with_the_path_of_all(name, other):
    with pytest.raises(ConfigurationError, match="browsers refuse the __Host- prefix"):
        SessionManager(KEY, cookie_name=name, **other)


@pytest.mark.parametrize(
    "settings",
    [
        *[{"cookie_name": name} for name in ("__Host-s", "__Secure-s", "__SECURE-s", "__Http-s")],
        *[{"cookie_samesite": "None"}, {"cookie_partitioned": True}],
    ],
)
def test_what_browsers_take_with_secure_only_is_always_secure(settings):
    manager = SessionManager(KEY, **settings)
    session = manager.open({"wsgi.url_scheme": "http"})
    session["a"] = 1
    assert "; Secure" in manager.commit(session)[1][1]
    assert manager.settings.cookie_secure is True
    with pytest.raises(ConfigurationError, match=r"cookie_secure=False: browsers refuse .* without Secure"):
        SessionManager(KEY, cookie_secure=False, **settings)


def test_the_http_prefix_needs_httponly():
    with pytest.raises(ConfigurationError, match="without HttpOnly"):
        SessionManager(KEY, cookie_name="__Http-s", cookie_httponly=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encrypt": True, "store": "memory://"}, "store_encryption=True"),
        ({"encrypt": True, "secret_key": None}, "encrypt=True needs a secret_key"),
        ({"store_encryption": True}, "needs a store and a secret_key"),
        ({"store_encryption": True, "store": "memory://", "secret_key": None}, "needs a store and a secret_key"),
        ({"secret_key": None, "secret_key_fallbacks": [OLD]}, "secret_key_fallbacks without a secret_key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        SessionManager(**{"secret_key": KEY, **settings})


def test_seconds_and_timedeltas_are_whole_seconds():
    settings = Settings(KEY, lifetime=timedelta(hours=1, milliseconds=900), absolute_lifetime=90.9, leeway=timedelta(0))
    assert (settings.lifetime_seconds, settings.absolute_seconds, settings.leeway_seconds) == (3600, 90, 0)
    defaults = Settings(KEY)
    assert (defaults.lifetime_seconds, defaults.absolute_seconds, defaults.leeway_seconds) == (31 * 86400, None, 60)


# Keys


@pytest.mark.parametrize("key", ["", b"", "\0", b"\0" * 32, "\0" * 16])
def test_an_empty_key_is_refused_with_the_command_that_makes_one(key):
    with pytest.raises(ConfigurationError, match="python -m session_mw keygen"):
        SessionManager(key)


@pytest.mark.parametrize("key", [5, 1.5, ["k"], object(), bytearray(b"x" * 32), True])
def test_a_key_is_text_or_bytes(key):
    with pytest.raises(ConfigurationError, match=f"a key is str or bytes, not {type(key).__name__}"):
        SessionManager(key)


@pytest.mark.parametrize("key", [[KEY, OLD], (KEY,), {"key": KEY}, 42, True])
def test_a_list_of_keys_is_not_taken_for_a_key(key):
    for build in (SessionManager, lambda key: SessionMiddleware(print, secret_key=key)):
        with pytest.raises(ConfigurationError, match=f"a key is str or bytes, not {type(key).__name__}"):
            build(key)


@pytest.mark.parametrize("keys", ["oldkey", b"oldkey", [""], [KEY, b""], [None], [b"\0\0"], 42])
def test_a_fallback_that_is_not_a_list_of_keys_is_told(keys):
    with pytest.raises(ConfigurationError, match="secret_key_fallbacks"):
        SessionMiddleware(print, secret_key=KEY, secret_key_fallbacks=keys)


WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from session_mw import ConfigurationError, SessionManager
for settings in ({"encrypt": True}, {"store": "memory://", "store_encryption": True}):
    try:
        SessionManager("test-secret-key-0123456789abcdef", **settings)
    except ConfigurationError as error:
        print(error)
"""


def test_without_cryptography_encryption_is_an_error_that_names_the_extra():
    command = [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert len(told) == 2
    assert all("session_mw[encrypted]" in line for line in told)


@pytest.mark.parametrize(
    "key",
    [
        *["dev", b"dev", "xyzzy", "x" * (MIN_LENGTH - 1), b"\x01" * 64, "a" * 40, "ab" * 20],
        *["super-secret-key", "Super-Secret-Key", " super-secret-key\n", "thisisasecretkey", "hard to guess string"],
        *['_5#y2L"F4Q8z\n\xec]/', b'_5#y2L"F4Q8z\n\xec]/', "A0Zr98j/3yX R~XHH!jmN]LWX/,?RT"],
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        *["changeme" * 4, "your-secret-key-here-your-secret", "A long random text, 32 characters or more"],
    ],
)
def test_a_short_or_well_known_key_is_warned_of_at_the_line_that_gives_it(key):
    with pytest.warns(WeakSecretKeyWarning, match="sessions can be forged") as caught:
        SessionManager(key)
    assert [(warning.filename, str(key) in str(warning.message)) for warning in caught] == [(__file__, False)]


def test_a_weak_fallback_is_warned_of_too():
    with pytest.warns(WeakSecretKeyWarning, match="^secret_key_fallbacks is"):
        SessionManager(KEY, secret_key_fallbacks=["dev"])


def test_a_generated_key_is_strong_and_new_each_time():
    keys = {generate() for _ in range(50)}
    assert len(keys) == 50
    assert not any(is_weak(key.encode()) for key in keys)
    assert all(len(key) == 43 for key in keys)


SECRET, FALLBACK = "zq-the-key-that-must-stay-hidden-1", "zq-the-old-one-that-must-stay-hidden"


def shown(thing: Any) -> str:
    return repr(thing) + str(thing) + f"{thing}"


def test_no_repr_or_text_shows_a_key(caplog):
    caplog.set_level(logging.DEBUG)
    manager = SessionManager(SECRET, secret_key_fallbacks=[FALLBACK])
    session = manager.open({"HTTP_COOKIE": "session=garbage"})
    session["a"] = 1
    manager.commit(session)
    middleware = SessionMiddleware(print, sessions=manager)
    parts = [*parts_of(manager), *parts_of(session), *parts_of(middleware)]
    assert len(parts) > 10
    text = "".join(shown(part) for part in parts)
    assert "zq-the" not in text + caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"secret_key": SECRET + "\ud800"},
        {"secret_key": SECRET, "secret_key_fallbacks": FALLBACK},
        {"secret_key": SECRET, "secret_key_fallbacks": [FALLBACK + "\udfff"]},
        {"secret_key": [SECRET]},
        {"secret_key": SECRET, "secret_key_fallbacks": [[FALLBACK]]},
        {"secret_key": SECRET, "lifetime": 0},
        {"secret_key": SECRET, "qqqq": 1},
    ],
)
def test_no_message_or_traceback_or_cause_shows_a_key(settings):
    with pytest.raises(ConfigurationError) as caught:
        SessionManager(**settings)
    error: BaseException | None = caught.value
    while error is not None:
        assert "zq-the" not in shown(error) + "".join(traceback.format_exception(error))
        assert "zq-the" not in repr(vars(error))
        error = error.__cause__ or error.__context__


def test_a_warning_shows_no_key():
    with pytest.warns(WeakSecretKeyWarning) as caught:
        SessionManager("zq-the-key")
    assert "zq-the" not in warnings.formatwarning(caught[0].message, WeakSecretKeyWarning, "file", 1, "")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("encrypt", [False, True])
def test_nothing_that_holds_a_key_can_be_pickled(protocol, encrypt):
    if encrypt:
        pytest.importorskip("cryptography")
    manager = SessionManager(SECRET, secret_key_fallbacks=[FALLBACK], encrypt=encrypt)
    codecs = [part for part in parts_of(manager) if type(part).__module__.startswith("session_mw.codecs.")]
    assert len(codecs) > 1
    for part in (manager, manager.settings, *codecs):
        with pytest.raises(TypeError):
            pickle.dumps(part, protocol)
    for part in parts_of(manager):
        try:
            text = pickle.dumps(part, protocol)
        except (TypeError, AttributeError, pickle.PicklingError):
            continue
        assert b"zq-the" not in text


def test_settings_cannot_be_copied_into_another_place_with_their_keys():
    with pytest.raises(TypeError, match="settings cannot be pickled"):
        copy.copy(Settings(SECRET))
