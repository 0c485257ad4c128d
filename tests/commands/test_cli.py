"""The command ``session-mw``."""

from __future__ import annotations

import base64
import io
import json
import os
import pydoc
import re
import subprocess
import sys

import pytest

import session_mw
from session_mw import SessionManager, open_store
from session_mw.cli import main
from support.wsgi import KEY, OTHER_KEY, token_of

ARTICLE = "eyJ1c2VybmFtZSI6ImNpeml4cyJ9.C5fdpg.fqm3FTv0kYE2TuOyGF1mx2RuYQ4"
FLASK = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
FLASK_KEY = "test-secret-key-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("SESSION_MW_SECRET_KEY", raising=False)


@pytest.fixture
def inspect(capsys):
    """Runs ``inspect --json`` and returns what it prints."""

    def run(text, *options):
        main(["inspect", "--json", *options, text])
        return json.loads(capsys.readouterr().out)

    return run


def run_process(*arguments, text=None, **environment):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, "-m", "session_mw", *arguments]
    return subprocess.run(command, env=environment, input=text, capture_output=True, timeout=60)


def test_keygen_prints_a_key_that_a_manager_takes_without_a_warning(capsys):
    assert main(["keygen"]) == 0
    key = capsys.readouterr().out.removesuffix("\n")
    SessionManager(key)
    assert len(base64.urlsafe_b64decode(key + "=")) == 32


def test_keygen_prints_another_key_each_time(capsys):
    main(["keygen"])
    main(["keygen"])
    first, second = capsys.readouterr().out.split()
    assert first != second


def test_inspect_shows_the_three_parts_and_the_data(inspect):
    report = inspect(FLASK)
    assert (report["payload"], report["timestamp"], report["signature"]) == tuple(FLASK.split("."))
    assert report["data"] == {"a": 1}
    assert report["compressed"] is False


def test_inspect_says_when_a_token_was_signed_and_how_long_ago(inspect, clock):
    clock.now = 1700000000 + 90
    report = inspect(FLASK)
    assert report["signed_at"] == "2023-11-14 22:13:20 UTC"
    assert report["age_seconds"] == 90
    assert report["epoch"] == 1970


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (0, "0 seconds ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 40, "40 days ago"),
        (-120, "2 minutes in the future"),
    ],
)
def test_inspect_tells_a_token_s_age_in_words(capsys, clock, age, words):
    clock.now = 1700000000 + age
    main(["inspect", FLASK])
    assert f"signed:    2023-11-14 22:13:20 UTC, {words}\n" in capsys.readouterr().out


def test_inspect_reads_the_clock_of_itsdangerous_before_1_0(inspect):
    report = inspect(ARTICLE)
    assert report["data"] == {"username": "cizixs"}
    assert report["signed_at"] == "2017-03-01 04:20:54 UTC"
    assert report["epoch"] == 2011


def test_inspect_names_the_old_clock(capsys):
    assert main(["inspect", ARTICLE]) == 0
    out = capsys.readouterr().out
    assert "2017-03-01 04:20:54 UTC" in out
    assert "from 2011" in out


def test_without_a_key_inspect_says_how_to_have_the_signature_checked(capsys):
    assert main(["inspect", FLASK]) == 0
    assert "verified:  not checked: set SESSION_MW_SECRET_KEY\n" in capsys.readouterr().out


def test_a_token_that_verifies_has_status_0(capsys, monkeypatch):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", FLASK_KEY)
    assert main(["inspect", FLASK]) == 0
    assert "verified:  yes\n" in capsys.readouterr().out


@pytest.mark.parametrize("token", [ARTICLE, FLASK[:-1] + "9", FLASK.replace("ZVPxAA", "ZVPxAQ")])
def test_a_token_that_does_not_verify_has_status_1(capsys, monkeypatch, token):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", FLASK_KEY)
    assert main(["inspect", token]) == 1
    assert "verified:  NO" in capsys.readouterr().out


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_inspect_verifies_every_digest(inspect, monkeypatch, digest):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", KEY)
    assert inspect(token_of({"a": 1}, digest=digest))["verified"] is True
    assert inspect(token_of({"a": 1}, OTHER_KEY, digest=digest))["verified"] is False


def test_inspect_verifies_with_the_salt_it_is_given(inspect, monkeypatch):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", KEY)
    token = token_of({"a": 1}, salt="admin")
    assert inspect(token)["verified"] is False
    assert inspect(token, "--salt", "admin")["verified"] is True


def test_inspect_opens_a_compressed_token(inspect, monkeypatch):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", KEY)
    report = inspect(token_of({"x": "A" * 200}))
    assert report["compressed"] is True
    assert report["verified"] is True
    assert report["data"] == {"x": "A" * 200}


def test_inspect_shows_tagged_values_as_text(inspect):
    report = inspect(token_of({"pair": (1, 2), "raw": b"\xff"}))
    assert report["data"] == {"pair": [1, 2], "raw": "b'\\xff'"}


def test_inspect_prints_nothing_that_could_steer_a_terminal(capsys):
    main(["inspect", token_of({"x": "\x1b[2J\u202e"})])
    assert re.fullmatch(r"[\n -~]*", capsys.readouterr().out)


@pytest.mark.parametrize(
    "line",
    [
        "Cookie: session={}",
        "cookie: a=1; session={}; b=2",
        "COOKIE:session={}",
        'Cookie: session="{}"',
        "Cookie: theme=a.b.c; session={}",
        "Set-Cookie: session={}; Expires=Thu, 24 Dec 2026 19:27:35 GMT; HttpOnly; Path=/; SameSite=Lax",
        "set-cookie: session={}; HttpOnly",
        "< Set-Cookie: session={}; Path=/",
        "session={}",
        "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 03:51:33 GMT\r\nSet-Cookie: session={}; Path=/\r\n\r\nhello\n",
        "#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t{}\n",
        "  {}\n",
    ],
)
def test_inspect_finds_the_token_in_a_line_a_response_or_a_cookie_jar(inspect, line):
    assert inspect(line.format(FLASK))["data"] == {"a": 1}


def test_a_hosts_name_is_no_token(capsys):
    main(["inspect", f"Set-Cookie: session={FLASK}; Domain=www.example.com; Path=/"])
    assert capsys.readouterr().err == ""


def test_inspect_says_that_there_are_more_tokens(capsys):
    main(["inspect", f"session={FLASK}; session={ARTICLE}; session={FLASK}"])
    out, err = capsys.readouterr()
    assert '"a": 1' in out
    assert err == "session-mw: 1 more there; of two genuine ones, none is trusted\n"
    main(["inspect", f"session={FLASK}"])
    assert capsys.readouterr().err == ""


def test_inspect_reads_standard_input(inspect, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"Cookie: session={FLASK}\n"))
    assert inspect("-")["data"] == {"a": 1}


@pytest.mark.parametrize("text", ["", "hello", "session=", "a.b", "Cookie: id=" + "A" * 43])
def test_what_holds_no_token_is_an_error_without_a_traceback(capsys, text):
    assert main(["inspect", text]) == 1
    assert capsys.readouterr().err.startswith("session-mw: nothing there looks like a signed token")


@pytest.mark.parametrize("token", ["e30x.ZVPxAA.G9Cs", "W10.ZVPxAA.G9Cs", "e30.AAAA.G9Cs", ".e30.ZVPxAA.G9Cs"])
def test_a_damaged_token_is_an_error_without_a_traceback(capsys, token):
    assert main(["inspect", token]) == 1
    assert capsys.readouterr().err.startswith("session-mw: the token cannot be decoded")


def test_a_time_that_no_calendar_holds_is_shown_as_a_number(inspect):
    assert inspect("e30.gAAAAAAAAAA.G9Cs")["signed_at"].startswith(f"{2**63} seconds")


def test_an_empty_key_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", "")
    assert main(["inspect", FLASK]) == 1
    assert capsys.readouterr().err.startswith("session-mw: SESSION_MW_SECRET_KEY: an empty key")


@pytest.mark.parametrize("option", ["--key", "--secret-key", "-k"])
def test_the_key_cannot_be_given_on_the_command_line(capsys, option):
    with pytest.raises(SystemExit) as exit_:
        main(["inspect", option, FLASK_KEY, FLASK])
    assert exit_.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_neither_report_shows_the_key(capsys, monkeypatch):
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", FLASK_KEY)
    main(["inspect", FLASK])
    main(["inspect", "--json", FLASK])
    captured = capsys.readouterr()
    assert FLASK_KEY not in captured.out + captured.err


def test_without_a_command_it_shows_how_it_is_used():
    result = run_process()
    assert result.returncode == 2
    assert result.stderr.startswith(b"usage: session-mw")


def test_python_m_session_mw_inspects_a_pipe():
    text = f"Set-Cookie: session={FLASK}; HttpOnly; Path=/".encode()
    result = run_process("inspect", "--json", "-", text=text, SESSION_MW_SECRET_KEY=FLASK_KEY)
    assert json.loads(result.stdout)["verified"] is True
    assert result.returncode == 0


def test_python_m_session_mw_has_status_1_for_a_forged_token():
    assert run_process("inspect", FLASK, SESSION_MW_SECRET_KEY=OTHER_KEY).returncode == 1


def test_standard_input_that_is_no_text_is_an_error_without_a_traceback():
    result = run_process("inspect", "-", text=b"\xff\xfe", PYTHONIOENCODING="utf-8")
    assert result.stderr.startswith(b"session-mw: standard input is not text")
    assert result.returncode == 1


# Encrypted tokens

ENCRYPTED_KEY = "Wq7-b3Zk_s9Yp2LxV5tNc8Rf1Jh6Dg4MaQ0uEoTi"


def encrypted_token(data, **settings):
    pytest.importorskip("cryptography")
    sessions = SessionManager(ENCRYPTED_KEY, encrypt=True, **settings)
    session = sessions.open({"wsgi.url_scheme": "https"})
    session.update(data)
    return dict(sessions.commit(session))["Set-Cookie"].partition(";")[0].partition("=")[2]


@pytest.mark.parametrize("line", ["{}", "Cookie: theme=dark; session={}", "Set-Cookie: session={}; Path=/"])
def test_inspect_opens_an_encrypted_token_with_the_key(inspect, monkeypatch, line):
    token = encrypted_token({"a": 1, "pair": (1, 2)})
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", ENCRYPTED_KEY)
    report = inspect(line.format(token))
    assert (report["kind"], report["data"], report["verified"]) == ("encrypted", {"a": 1, "pair": [1, 2]}, True)
    assert report["age_seconds"] < 5


def test_inspect_takes_the_cookies_name_from_the_line_or_from_the_option(inspect, monkeypatch):
    token = encrypted_token({"a": 1}, cookie_name="__Host-s", salt="shop")
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", ENCRYPTED_KEY)
    assert inspect(f"Cookie: __Host-s={token}", "--salt", "shop")["data"] == {"a": 1}
    assert inspect(token, "--salt", "shop", "--cookie-name", "__Host-s")["data"] == {"a": 1}
    assert inspect(token, "--salt", "shop")["verified"] is False


def test_inspect_says_what_an_encrypted_token_is_where_it_cannot_open_it(capsys, monkeypatch):
    token = encrypted_token({"a": 1})
    assert main(["inspect", token]) == 1
    assert "encrypted (AES-256-GCM)" in (told := capsys.readouterr().out)
    assert "not tried: set SESSION_MW_SECRET_KEY" in told
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", KEY)
    for text in (token, "AQ" + "x" * 80):
        assert main(["inspect", text]) == 1
        told = capsys.readouterr().out
        assert "NO: made with another key, salt (--salt) or cookie name (--cookie-name, 'session' was tried)" in told
        assert KEY not in told


def test_an_encrypted_token_is_shown_as_text(capsys, monkeypatch):
    token = encrypted_token({"x": "\x1b[2J"})
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", ENCRYPTED_KEY)
    assert main(["inspect", token]) == 0
    shown = capsys.readouterr().out
    assert [line.partition(":")[0] for line in shown.splitlines()[:4]] == ["kind", "created", "written", "opened"]
    assert re.fullmatch(r"[\n -~]*", shown)


# What is none of ours


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "a JSON Web Token",
        ),
        ("eyJhIjoxfQ:1wXnRk:" + "x" * 43, "signed by Django"),
        ("gAAAAABl" + "x" * 112 + "==", "a Fernet token"),
        ("eyJhIjoxfQ.9hkqH6PKzZpOGDGFMPKfySe7Tp8", "signed by itsdangerous without a time"),
        ("session=123e4567-e89b-42d3-a456-426614174000", "an id of another session library"),
        ("Cookie: sessionid=abcdefghijklmnopqrstuvwxyz012345", "an id of another session library"),
        ("Cookie: session=" + "A" * 43, "a stored session's id"),
    ],
)
def test_inspect_says_what_stands_there_that_is_no_token_of_ours(capsys, text, what):
    assert main(["inspect", text]) == 1
    err = capsys.readouterr().err
    assert err.startswith("session-mw: nothing there looks like a signed token")
    assert what in err


# Stored sessions


@pytest.fixture
def stored(tmp_path):
    """A URL, and a token and an id in its store."""
    url = f"sqlite:///{tmp_path}/s.db"
    return url, *store_session(url, {"cart": ["apple"]})


def store_session(url, data, principal="42", **settings):
    sessions = SessionManager(store=url, **settings)
    session = sessions.open({"wsgi.url_scheme": "https"})
    session.update(data)
    session.principal = principal
    token = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0].partition("=")[2]
    sessions.close()
    return token, session.id


def test_inspect_shows_a_stored_session(inspect, stored):
    url, token, session_id = stored
    report = inspect(f"Cookie: session={token}", "--store", url)
    assert (report["kind"], report["id"], report["principal"]) == ("stored", session_id, "42")
    assert report["data"] == {"cart": ["apple"]}
    assert report["encrypted"] is False


def test_inspect_takes_the_stores_url_from_the_environment(capsys, monkeypatch, stored):
    url, token, session_id = stored
    monkeypatch.setenv("SESSION_MW_STORE", url)
    assert main(["inspect", token, "--store"]) == 0
    shown = capsys.readouterr().out
    assert f"id:        {session_id}\nprincipal: '42'\n" in shown


def test_inspect_opens_an_encrypted_stored_session_with_the_key(inspect, capsys, monkeypatch, tmp_path):
    pytest.importorskip("cryptography")
    url = f"sqlite:///{tmp_path}/s.db"
    settings = {"secret_key": ENCRYPTED_KEY, "store_encryption": True, "cookie_name": "sid"}
    token, _ = store_session(url, {"a": 1}, **settings)
    assert main(["inspect", f"sid={token}", "--store", url]) == 1
    assert "if it is encrypted, set SESSION_MW_SECRET_KEY" in (err := capsys.readouterr().err)
    assert err.count("\n") == 1
    monkeypatch.setenv("SESSION_MW_SECRET_KEY", ENCRYPTED_KEY)
    report = inspect(f"sid={token}", "--store", url)
    assert (report["data"], report["encrypted"]) == ({"a": 1}, True)


def test_inspect_changes_nothing_in_the_store(inspect, stored, clock):
    url, token, session_id = stored
    store = open_store(url)
    before = store.load(session_id)
    clock.advance(10 * 86400)
    inspect(token, "--store", url)
    assert store.load(session_id) == before
    store.close()


def test_a_session_that_the_store_does_not_have_is_told_as_that(capsys, stored):
    url, token, _ = stored
    assert main(["inspect", "B" * 43, "--store", url]) == 1
    assert "no session has the id" in capsys.readouterr().err
    assert main(["inspect", token, "--store", url, "--salt", "other"]) == 1
    assert "--cookie-name, --salt" in capsys.readouterr().err
    assert main(["inspect", FLASK, "--store", url]) == 1
    assert "43 letters" in capsys.readouterr().err


def test_a_token_may_begin_as_an_option_does(capsys, stored):
    for token in ("-" * 43, "-" + "x" * 42):
        assert main(["inspect", token, "--store", stored[0]]) == 1
        assert "no session has the id" in capsys.readouterr().err
    assert main(["inspect", "-" * 43]) == 1
    assert "a stored session's id" in capsys.readouterr().err


# Version and help


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"session-mw {session_mw.__version__}\n"


def test_help_shows_the_public_names():
    text = pydoc.plain(pydoc.render_doc(session_mw))
    for name in ("SessionManager", "SessionMiddleware", "get_session", "SQLiteStore", "StoreError"):
        assert name in text
    assert all(hasattr(session_mw, name) for name in session_mw.__all__)


@pytest.mark.parametrize("command", ["inspect", "audit", "sessions", "end", "sweep", "keygen"])
def test_each_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: session-mw {command}")
