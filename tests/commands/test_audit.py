"""``session-mw audit``."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_mw import FileStore, MemoryStore, SessionManager, SQLiteStore
from session_mw.cli import main
from session_mw.commands.audit import audit
from session_mw.commands.audit_target import find_target
from session_mw.protocols import Location
from session_mw.stores.migrating import MigratingStore

STRONG = "Wq7-b3Zk_s9Yp2LxV5tNc8Rf1Jh6Dg4MaQ0uEoTi"
OTHER = "mX2_v8Kd-r4Hn7Qs1Bt6Wy3Gz9Lp5Cf0JaUeRoTi"
WEAK = "super-secret-key"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An application's directory, and nothing of it left in the interpreter."""
    modules = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in set(sys.modules) - modules if not name.startswith("session_mw")]:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def judged(**settings: Any) -> dict[str, tuple[str, str]]:
    """Attribute to value and verdict."""
    sessions = SessionManager(**{"secret_key": STRONG, **settings})
    findings = audit(sessions.settings)
    return {finding.attribute: (finding.value, finding.verdict) for finding in findings}


def verdict(attribute: str, **settings: Any) -> str:
    return judged(**settings)[attribute][1]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["audit", *arguments])
    return status, *capsys.readouterr()


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


GOOD = {"cookie_name": "__Host-session", "absolute_lifetime": 86400, "lifetime": 3600}
LEVEL_1 = {"3.3.1", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.4.1", "7.4.2", "9.1.1", "9.2.1", "11.3.2", "11.4.1"}
"""Those of the items that are judged (OWASP ASVS 5.0.0)."""
CHAPTER_7 = (
    "7.1.1 7.1.2 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.5 7.5.1 7.5.2 7.5.3 7.6.1 7.6.2".split()
)
"""Without 7.1.3 and 7.4.4, which are the application's alone."""


# Verdicts


def test_nothing_fails_in_a_good_configuration(tmp_path: Path) -> None:
    found = judged(**GOOD, store=f"sqlite:///{tmp_path}/s.db")
    assert [name for name, (_, one) in found.items() if one != "ok"] == ["store_encryption"]


def test_a_cookie_that_nothing_can_end_fails_with_the_best_of_settings() -> None:
    pytest.importorskip("cryptography")
    found = judged(**GOOD, encrypt=True)
    assert [name for name, (_, one) in found.items() if one == "FAIL"] == ["log-out", "log-in", "disabled account"]


def test_the_defaults_fail_where_an_item_of_level_1_does() -> None:
    failed = [name for name, (_, one) in judged().items() if one == "FAIL"]
    assert failed == ["digest", "cookie_name", "cookie_secure", "log-out", "log-in", "disabled account"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lifetime": 401 * 86400, "leeway": 3600, "cookie_domain": "example.com", "cookie_samesite": None},
        {"cookie_name": "__Secure-s", "cookie_samesite": "None"},
        {"store": MemoryStore()},
        {"store": "memcached://localhost"},
        {"store": "redis://cache.internal"},
        {"encrypt": True},
    ],
)
def test_an_item_of_level_1_that_is_not_met_is_never_a_mere_warning(settings: dict[str, Any]) -> None:
    for package in ("cryptography", "pymemcache", "redis"):
        pytest.importorskip(package)
    sessions = SessionManager(**{"secret_key": STRONG, **settings})
    warned = {item for one in audit(sessions.settings) if one.verdict == "warn" for item in items_of(one.standard)}
    assert warned & LEVEL_1 == set()
    sessions.close()


def items_of(standard: str) -> list[str]:
    """The items of ASVS in the text of a finding."""
    return re.findall(r"\d+\.\d+\.\d+", standard.partition("ASVS")[2].partition(";")[0])


@pytest.mark.parametrize("settings", [{}, {"store": MemoryStore()}])
def test_each_item_of_chapter_7_that_a_session_layer_can_answer_is_answered(settings: dict[str, Any]) -> None:
    found = audit(SessionManager(STRONG, **settings).settings)
    answered = {item for one in found for item in items_of(one.standard) if item.startswith("7.")}
    # a cookie that holds the session is no reference token
    assert sorted(answered) == [item for item in CHAPTER_7 if item != "7.2.3" or settings]
    assert all(one.why for one in found)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"FAIL", "warn"}),
        ({"store": "memcached://localhost"}, {"FAIL", "warn"}),
        ({"store": MemoryStore()}, {"ok"}),
        ({"store": "sqlite:///s.db"}, {"ok"}),
        ({"store": "redis://localhost"}, {"ok"}),
    ],
)
def test_sessions_of_a_user_can_be_listed_and_ended_where_the_store_has_an_index(
    settings: dict[str, Any], expected: set[str]
) -> None:
    for package in ("pymemcache", "redis"):
        pytest.importorskip(package)
    found = judged(**settings)
    names = ("disabled account", "other sessions", "administrator", "parallel sessions", "list of sessions")
    assert {found[name][1] for name in names} == expected


@pytest.mark.filterwarnings("ignore::session_mw.WeakSecretKeyWarning")
@pytest.mark.parametrize(
    ("attribute", "settings", "expected"),
    [
        ("secret_key", {}, "ok"),
        ("secret_key", {"secret_key": WEAK}, "FAIL"),
        ("secret_key", {"secret_key": "short"}, "FAIL"),
        ("secret_key", {"secret_key": "a8Kd-r4Hn7Qs1Bt6W"}, "warn"),
        ("secret_key", {"secret_key": "abcd" * 10}, "warn"),
        ("secret_key", {"secret_key": None}, "FAIL"),
        ("secret_key", {"secret_key": None, "store": MemoryStore()}, "ok"),
        ("secret_key_fallbacks", {}, "ok"),
        ("secret_key_fallbacks", {"secret_key_fallbacks": [OTHER]}, "ok"),
        ("secret_key_fallbacks", {"secret_key_fallbacks": [STRONG]}, "warn"),
        ("secret_key_fallbacks", {"secret_key_fallbacks": [OTHER, OTHER + "1", OTHER + "2"]}, "warn"),
        ("secret_key_fallbacks", {"secret_key_fallbacks": [OTHER, WEAK]}, "FAIL"),
        ("cookie_name", {}, "FAIL"),
        ("cookie_name", {"cookie_name": "__Secure-s"}, "warn"),
        ("cookie_name", {"cookie_name": "__Secure-s", "cookie_domain": "example.com"}, "ok"),
        ("cookie_name", {"cookie_name": "__Host-s"}, "ok"),
        ("cookie_secure", {}, "FAIL"),
        ("cookie_secure", {"cookie_secure": True}, "ok"),
        ("cookie_secure", {"cookie_name": "__Host-s"}, "ok"),
        ("cookie_secure", {"cookie_secure": False}, "FAIL"),
        ("cookie_httponly", {}, "ok"),
        ("cookie_httponly", {"cookie_httponly": False}, "FAIL"),
        ("cookie_samesite", {}, "ok"),
        ("cookie_samesite", {"cookie_samesite": "Strict"}, "ok"),
        ("cookie_samesite", {"cookie_samesite": "None"}, "warn"),
        ("cookie_samesite", {"cookie_samesite": "None", "cookie_partitioned": True}, "warn"),
        ("cookie_samesite", {"cookie_samesite": None}, "warn"),
        ("cookie_domain", {}, "ok"),
        ("cookie_domain", {"cookie_domain": "example.com"}, "warn"),
        ("lifetime", {}, "ok"),
        ("lifetime", {"lifetime": 32 * 86400}, "warn"),
        ("lifetime", {"lifetime": 401 * 86400}, "warn"),
        ("absolute_lifetime", {}, "warn"),
        ("absolute_lifetime", {"absolute_lifetime": 86400}, "ok"),
        ("absolute_lifetime", {"absolute_lifetime": 400 * 86400}, "warn"),
        ("leeway", {}, "ok"),
        ("leeway", {"leeway": 3600}, "FAIL"),
        ("digest", {}, "FAIL"),
        ("digest", {"digest": "sha256"}, "ok"),
        ("encrypt", {}, "warn"),
        ("log-out", {}, "FAIL"),
        ("log-out", {"store": MemoryStore()}, "ok"),
        ("store", {"store": MemoryStore()}, "warn"),
        ("token", {"store": MemoryStore()}, "ok"),
    ],
)
def test_verdicts(attribute: str, settings: dict[str, Any], expected: str) -> None:
    assert verdict(attribute, **settings) == expected


@pytest.mark.parametrize(
    ("settings", "value"), [({}, "31 days"), ({"lifetime": 1}, "1 second"), ({"lifetime": 5400}, "90 minutes")]
)
def test_durations_are_told_in_words(settings: dict[str, Any], value: str) -> None:
    assert judged(**settings)["lifetime"][0] == value


# Stores


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o600, "ok"), (0o640, "FAIL"), (0o604, "FAIL"), (0o660, "FAIL"), (0o606, "FAIL")]
)
def test_the_rights_of_a_database_file(mode: int, expected: str, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "s.db")
    os.chmod(tmp_path / "s.db", mode)
    assert judged(store=store)["s.db"] == (f"mode {mode:04o}", expected)
    store.close()


def test_encrypted_records_may_be_seen_but_not_changed_by_others(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    store = SQLiteStore(tmp_path / "s.db")
    os.chmod(tmp_path / "s.db", 0o644)
    assert judged(store=store, store_encryption=True)["s.db"][1] == "warn"
    os.chmod(tmp_path / "s.db", 0o622)
    assert judged(store=store, store_encryption=True)["s.db"][1] == "FAIL"
    store.close()


@pytest.mark.parametrize(("mode", "expected"), [(0o700, "ok"), (0o755, "warn"), (0o770, "FAIL"), (0o707, "FAIL")])
def test_the_rights_of_a_directory(mode: int, expected: str, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "sessions")
    os.chmod(tmp_path / "sessions", mode)
    assert verdict("sessions", store=store) == expected


def from_ini(capsys: pytest.CaptureFixture[str], **settings: str) -> dict[str, tuple[str, str]]:
    lines = [f"{name} = {value}" for name, value in {"secret_key": STRONG, **settings}.items()]
    write("app.ini", "\n".join(["[filter:session]", "use = egg:session_mw", *lines]))
    found = json.loads(run(capsys, "app.ini", "--json")[1])
    return {one["attribute"]: (one["value"], one["verdict"]) for one in found}


@pytest.mark.parametrize(
    ("url", "connection", "password"),
    [
        ("redis://localhost/0", "ok", "warn"),
        ("redis://127.0.0.1:6379/0", "ok", "warn"),
        ("redis://[::1]:6379/0", "ok", "warn"),
        ("redis://:hush@localhost/0", "ok", "ok"),
        ("redis://cache.internal/0", "FAIL", "FAIL"),
        ("redis://:hush@cache.internal/0", "FAIL", "ok"),
        ("rediss://cache.internal/0", "ok", "FAIL"),
        ("rediss://:hush@cache.internal/0", "ok", "ok"),
        ("valkeys://:hush@cache.internal/0", "ok", "ok"),
        ("rediss://:hush@cache.internal/0?ssl_cert_reqs=none", "FAIL", "ok"),
        ("rediss://:hush@cache.internal/0?ssl_check_hostname=false", "FAIL", "ok"),
        ("rediss://:hush@cache.internal/0?ssl_check_hostname=no", "FAIL", "ok"),
        ("rediss://:hush@cache.internal/0?ssl_check_hostname=1", "ok", "ok"),
        ("rediss://:hush@cache.internal/0?ssl%%5Fcert%%5Freqs=none", "FAIL", "ok"),
        ("redis+sentinel://:hush@one:26379,two:26379/master", "FAIL", "ok"),
        ("redis+cluster://localhost:7000,10.0.0.7:7001", "FAIL", "FAIL"),
        ("postgresql+psycopg://me:hush@db/app", "warn", "ok"),
        ("postgresql+psycopg://me:hush@db/app?sslmode=verify-full", "ok", "ok"),
        ("postgresql+psycopg://me:hush@db/app?sslmode=require", "warn", "ok"),
        ("postgresql+psycopg://me:hush@/app", "ok", "ok"),
        ("postgresql+psycopg://me:hush@/app?host=db.example.com", "warn", "ok"),
        ("postgresql+psycopg://me:hush@/app?host=/run/postgresql", "ok", "ok"),
        ("postgresql+psycopg://me:hush@/app?host=localhost:5432&host=db:5432", "warn", "ok"),
        ("mysql+pymysql://me@localhost/app", "ok", "warn"),
        ("mysql+pymysql://me:hush@db/app?ssl_ca=ca.pem", "ok", "ok"),
    ],
)
def test_the_connection_to_a_server(
    url: str, connection: str, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip({"r": "redis", "v": "redis"}.get(url[0], "sqlalchemy"))
    found = from_ini(capsys, store=url)
    assert (found["store: connection"][1], found["store: password"][1]) == (connection, password)
    assert "hush" not in json.dumps(found)


@pytest.mark.parametrize(("url", "expected"), [("memcached://localhost", "ok"), ("memcached://a,localhost", "FAIL")])
def test_memcached_on_another_host_fails(url: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pymemcache")
    assert from_ini(capsys, store=url)["store: connection"][1] == expected


def test_encrypted_records_may_travel_in_the_open(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("redis")
    found = from_ini(capsys, store="redis://:hush@cache.internal/0", store_encryption="true")
    assert (found["store: connection"][1], found["store_encryption"][1]) == ("warn", "ok")


def test_ready_clients_are_judged_as_their_urls_are() -> None:
    redis = pytest.importorskip("redis")
    from session_mw.stores.redis import RedisStore

    near = RedisStore(redis.Redis(password="hush"))
    far = RedisStore(redis.Redis(host="cache.internal", ssl=True, ssl_cert_reqs="none"))
    url = RedisStore.from_url("rediss://:hush@cache.internal/0")
    told = [judged(store=store) for store in (near, far, url)]
    assert [one["store: connection"] for one in told] == [
        ("this machine", "ok"),
        ("TLS, unverified", "FAIL"),
        ("TLS", "ok"),
    ]
    assert [one["store: password"][1] for one in told] == ["ok", "FAIL", "ok"]
    assert "hush" not in repr(told)


@pytest.mark.parametrize(
    "option", [{"ssl_cert_reqs": None}, {"ssl_cert_reqs": ssl.CERT_NONE}, {"ssl_check_hostname": False}]
)
def test_a_ready_client_that_trusts_any_server_fails(option: dict[str, Any]) -> None:
    redis = pytest.importorskip("redis")
    from session_mw.stores.redis import RedisStore

    client = redis.Redis(host="cache.internal", ssl=True, **option)
    assert judged(store=RedisStore(client))["store: connection"] == ("TLS, unverified", "FAIL")


def test_a_key_that_nothing_is_signed_with_may_be_weak(recwarn: pytest.WarningsRecorder) -> None:
    found = judged(secret_key="short", secret_key_fallbacks=["dev"], store="memory://")
    assert found["secret_key"] == ("not used", "ok")
    assert found["secret_key_fallbacks"][1] == "ok"
    assert not recwarn


def test_an_engine_is_judged_as_its_url_is(tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from session_mw.stores.sqlalchemy import SQLAlchemyStore

    store = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/a.db"))
    assert judged(store=store)["a.db"] == ("not made yet", "ok")
    store.create_table()
    os.chmod(tmp_path / "a.db", 0o644)
    assert judged(store=store)["a.db"] == ("mode 0644", "FAIL")
    store.close()


def test_both_stores_of_a_move_are_judged(tmp_path: Path) -> None:
    old, new = FileStore(tmp_path / "sessions"), SQLiteStore(tmp_path / "s.db")
    os.chmod(tmp_path / "s.db", 0o644)
    found = judged(store=MigratingStore(new, old))
    assert (found["s.db"][1], found["sessions"][1]) == ("FAIL", "ok")
    new.close()


def test_the_stores_of_two_moves_are_judged(tmp_path: Path) -> None:
    stores = [FileStore(tmp_path / name) for name in ("newest", "new", "old")]
    found = judged(store=MigratingStore(stores[0], MigratingStore(stores[1], stores[2])))
    assert all(found[name][1] == "ok" for name in ("newest", "new", "old"))


def test_a_store_in_memory_is_judged_as_its_url_is() -> None:
    assert judged(store=MemoryStore())["store_encryption"] == judged(store="memory://")["store_encryption"]


@pytest.mark.parametrize(("host", "value"), [("::1", "this machine"), ("::ffff:192.0.2.1", "no TLS")])
def test_an_ipv6_address_of_memcached_is_taken_whole(host: str, value: str) -> None:
    memcached = pytest.importorskip("session_mw.stores.memcached", exc_type=ImportError)
    store = memcached.MemcachedStore([(host, 11211)])
    assert judged(store=store)["store: connection"][0] == value
    store.close()


class Mine:
    """A store that is none of the package's."""

    load = create = update = touch = delete = close = lambda self, *arguments: None


def test_a_store_of_ones_own_is_named_and_not_judged() -> None:
    assert judged(store=Mine())["store"] == ("Mine", "warn")


def test_a_store_of_ones_own_that_describes_itself_is_judged(tmp_path: Path) -> None:
    class Described(Mine):
        def describe(self) -> Location:
            parts = (Location("leveldb", "near", str(tmp_path)), Location("dynamo", "far", hosts=("db.example.com",)))
            return Location("split", "both", parts=parts)

    os.chmod(tmp_path, 0o777)
    found = [(one.attribute, one.value, one.verdict) for one in audit(SessionManager(store=Described()).settings)]
    assert ("store", "near", "ok") in found
    assert (tmp_path.name, "mode 0777", "FAIL") in found
    assert ("store: connection", "no TLS", "FAIL") in found


def test_a_description_that_is_none_is_passed_over() -> None:
    class Strange(Mine):
        def describe(self) -> str:
            return "somewhere"

    assert judged(store=Strange())["store"] == ("Strange", "warn")


# Where endings are remembered


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("memory://", "warn"),
        ("sqlite:///ended.db", "ok"),
        ("redis://cache.internal/0", "ok"),
        ("memcached://cache.internal", "warn"),
    ],
)
def test_where_endings_are_remembered_is_judged(url: str, verdict: str) -> None:
    write("app.ini", f"[x]\nsession.secret_key = {STRONG}\nsession.revocations = {url}\n")
    found = {finding.attribute: finding.verdict for finding in audit(find_target("app.ini"))}
    assert (found["revocations"], found["log-out"], found.get("store")) == (verdict, "ok", None)
    far = "cache.internal" in url
    assert found.get("revocations: connection") == ("warn" if far else None)


def test_who_may_change_what_has_ended_is_judged(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "ended.db")
    told = []
    for mode in (0o600, 0o644, 0o666):
        os.chmod(tmp_path / "ended.db", mode)
        told.append(verdict("ended.db", revocations=store))
    assert told == ["ok", "warn", "FAIL"]
    store.close()


# Beside Flask


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, "the same"),
        ({"digest": "sha256"}, "another"),
        ({"salt": "other"}, "another"),
        ({"store": MemoryStore()}, "another"),
    ],
)
def test_differences_of_format_from_flask_are_told(settings: dict[str, Any], value: str) -> None:
    assert judged(**settings)["Flask: format"] == (value, "ok")


def test_differences_of_behaviour_from_flask_are_told() -> None:
    assert judged()["Flask: SameSite"] == ("another", "ok")
    assert judged(cookie_samesite=None)["Flask: SameSite"] == ("the same", "ok")
    assert "Flask: absolute_lifetime" not in judged()
    assert judged(absolute_lifetime=60)["Flask: absolute_lifetime"] == ("another", "ok")


def test_encryption_without_its_package_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cryptography" not in from_ini(capsys)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "cryptography" not in from_ini(capsys)
    assert from_ini(capsys, encrypt="true")["cryptography"] == ("missing", "FAIL")


# Output


def test_the_exit_status_tells_whether_something_fails(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "auditme1.py",
        "from session_mw import SessionManager\n"
        "good = SessionManager(store='memory://', cookie_name='__Host-s')\n"
        "bad = SessionManager(store='memory://', cookie_secure=False)\n",
    )
    assert run(capsys, "auditme1:good")[0] == 0
    status, out, _ = run(capsys, "auditme1:bad")
    assert status == 1
    assert any(line.startswith("cookie_secure") and "FAIL" in line for line in out.splitlines())


def test_the_table_names_standards(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    write("auditme2.py", f"from session_mw import SessionManager\nsessions = SessionManager({STRONG!r})\n")
    out = run(capsys, "auditme2:sessions")[1]
    assert out.startswith("attribute             value               verdict  why it matters\n")
    assert "[ASVS 3.3.4; RFC 6265bis 4.1.2.6]" in out
    assert max(map(len, out.splitlines())) <= 200


def test_the_last_line_sums_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    write("app.ini", "[x]\nsession.store = memory://\n")
    found = json.loads(run(capsys, "app.ini", "--json")[1])
    counts = {verdict: sum(one["verdict"] == verdict for one in found) for verdict in ("ok", "warn", "FAIL")}
    assert run(capsys, "app.ini")[1].splitlines()[-2:] == [
        "",
        f"{len(found)} judged: {counts['ok']} ok, {counts['warn']} warn, {counts['FAIL']} FAIL "
        "(cookie_name, cookie_secure). Not judged, the application's own: ASVS 7.1.3, 7.4.4.",
    ]


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_the_table_fits_or_stays_readable(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    write("app.ini", f"[x]\nsession.secret_key = {STRONG}\nsession.cookie_domain = {'long.' * 20}example.com\n")
    out = run(capsys, "app.ini")[1]
    assert max(map(len, out.splitlines())) <= max(90, int(columns))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_key_is_ever_printed(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("redis")
    write(
        "app.ini",
        f"[x]\nsession.secret_key = {STRONG}\nsession.secret_key_fallbacks = {OTHER} {WEAK}\n"
        "session.store = redis://user:hush@host/0\n",
    )
    assert run(capfd, "app.ini", *options)[0] == 1
    assert main(["audit", "app.ini", *options]) == 1
    out, err = capfd.readouterr()
    for secret in (STRONG, OTHER, WEAK, "hush"):
        assert secret not in out + err
    assert err == ""


def test_json_holds_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    write("app.ini", f"[x]\nsession.secret_key = {STRONG}\n")
    first = json.loads(run(capsys, "app.ini", "--json")[1])[0]
    assert first == {
        "attribute": "secret_key",
        "value": "40 bytes",
        "verdict": "ok",
        "why": "long enough for 128 bits of security; keep it out of the source code",
        "standard": "ASVS 11.2.3, 13.3.1",
    }


# Targets


APP = f"""
import os

from session_mw import SessionMiddleware, SessionManager

print("a greeting from the application")

def app(environ, start_response):
    return []

class Outer:
    def __init__(self, app):
        self.app = app

def make():
    return SessionMiddleware(app, {STRONG!r}, cookie_name="made")

def needs(argument):
    return app

def breaks():
    raise RuntimeError({STRONG!r})

def looks():
    return os.environ["NO_SUCH_VARIABLE"]

def nested():
    return make

def leaves():
    raise SystemExit(0)

middleware = SessionMiddleware(app, {STRONG!r}, cookie_name="direct")
wrapped = Outer(Outer(middleware))
class namespace:
    inner = middleware
"""


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("auditapp:middleware", "direct"),
        ("auditapp:middleware.sessions", "direct"),
        ("auditapp:wrapped", "direct"),
        ("auditapp:namespace.inner", "direct"),
        ("auditapp:make()", "made"),
    ],
)
def test_a_python_target_is_found(target: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("auditapp.py", APP)
    _, out, err = run(capsys, target, "--json")
    assert {one["attribute"]: one["value"] for one in json.loads(out)}["cookie_name"] == name
    assert err in ("", "a greeting from the application\n")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("auditapp", "neither module:attribute nor path.ini#section"),
        ("auditapp:", "neither module:attribute nor path.ini#section"),
        ("nosuchmodule:app", "No module named 'nosuchmodule'"),
        ("auditapp:nothing", "has no 'nothing'"),
        ("auditapp:app", "no SessionMiddleware or SessionManager; name what SessionMiddleware(...) returned"),
        ("auditapp:nested", "is it a factory? Write nested()"),
        ("auditapp:SessionManager", "the class SessionManager"),
        ("auditapp:Outer", "the class Outer"),
        ("auditapp:needs()", "calling auditapp:needs() failed: TypeError"),
        ("auditapp:breaks()", "calling auditapp:breaks() failed: RuntimeError at {here}/auditapp.py:"),
        ("auditapp:looks()", "calling auditapp:looks() failed: KeyError at {here}/auditapp.py:"),
        ("auditapp:leaves()", "calling auditapp:leaves() failed: SystemExit"),
        ("auditwrong:app", "lifetime is a timedelta or a number of seconds"),
        ("auditsyntax:app", "importing 'auditsyntax' failed: SyntaxError at {here}/auditsyntax.py:1"),
        ("missing.ini", "No such file or directory"),
    ],
)
def test_a_bad_target_is_one_line(target: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("auditapp.py", APP)
    write("auditsyntax.py", f"key = {STRONG!r} oops")
    write("auditwrong.py", f"from session_mw import SessionManager\napp = SessionManager({STRONG!r}, lifetime=-1)\n")
    status, out, err = run(capsys, target)
    err = err.replace("a greeting from the application\n", "")
    assert (status, out) == (1, "")
    assert err.startswith("session-mw: ")
    assert err.count("\n") == 1
    assert says.format(here=os.getcwd()) in err
    assert STRONG not in err


def test_a_pyramid_app_is_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyramid")
    write(
        "auditpyramid.py",
        "from pyramid.config import Configurator\n"
        f"settings = {{'session.secret_key': {STRONG!r}, 'session.cookie_name': 'fromsettings'}}\n"
        "config = Configurator(settings=settings)\nconfig.include('session_mw.adapters.pyramid')\n"
        "app = config.make_wsgi_app()\nplain = Configurator().make_wsgi_app()\n",
    )
    out = run(capsys, "auditpyramid:app", "--json")[1]
    assert {one["attribute"]: one["value"] for one in json.loads(out)}["cookie_name"] == "fromsettings"
    assert "no SessionMiddleware" in run(capsys, "auditpyramid:plain")[2]


def test_a_flask_app_is_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("flask")
    write(
        "auditflask.py",
        "from flask import Flask\nfrom session_mw.adapters.flask import FlaskSessions\n"
        f"app = Flask('x')\napp.config.update(SECRET_KEY={STRONG!r}, SESSION_COOKIE_NAME='fromconfig')\n"
        "app.session_interface = FlaskSessions()\nplain = Flask('y')\n",
    )
    out = run(capsys, "auditflask:app", "--json")[1]
    assert {one["attribute"]: one["value"] for one in json.loads(out)}["cookie_name"] == "fromconfig"
    assert run(capsys, "auditflask:plain")[0] == 1


INI = f"""
[DEFAULT]
secret_key = of everybody
base = {STRONG}

[app:main]
use = egg:other

[filter:session]
use = egg:session_mw
environ_key = visitor
secret_key = %(base)s
store = sqlite:///%(here)s/sessions.db

[settings]
debug = true
session.secret_key = {STRONG}
session.SESSION_COOKIE_NAME = prefixed
"""


@pytest.mark.parametrize(
    ("section", "name", "store"), [("filter:session", "session", True), ("settings", "prefixed", False)]
)
def test_a_section_of_an_ini_file_is_read(section: str, name: str, store: bool) -> None:
    write("app.ini", INI)
    settings = find_target(f"app.ini#{section}")
    assert (settings.secret_key, settings.cookie_name) == (STRONG, name)
    assert settings.store == (f"sqlite:///{os.getcwd()}/sessions.db" if store else None)
    assert not Path("sessions.db").exists()


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        (INI, "app.ini", "several such sections: [filter:session], [settings]; choose one: app.ini#filter:session"),
        (INI, "app.ini#nope", "has no section [nope]; it has [DEFAULT], [app:main], [filter:session], [settings]"),
        ("[a]\nb = c\n", "app.ini", "no section with 'use = egg:session_mw'"),
        ("[a]\nb = c\n", "app.ini#a", "'b' is not a setting"),
        ("", "app.ini", "It has no sections"),
        (f"secret_key = {STRONG}\n", "app.ini", "MissingSectionHeaderError in line 1"),
        (f"[a]\n{STRONG}\n", "app.ini", "ParsingError in line 2"),
        ("[a]\nsession.salt = 1\nsession.salt = 2\n", "app.ini", "DuplicateOptionError in line 3"),
        (f"[a]\nsession.secret_key = {STRONG}%x\n", "app.ini", "session.secret_key in [a] has a %"),
        (f"[a]\nsession.secret_key = {STRONG}\nsession.lifetme = 3\n", "app.ini", "did you mean 'lifetime'?"),
        (f"[a]\nsession.secret_key = {STRONG}\nsession.store = redsi://:hush@h\n", "app.ini", "'redsi'"),
        ("[a]\nsession.secret_key =\n", "app.ini", "an empty key"),
    ],
)
def test_a_bad_ini_file_is_one_line(text: str, target: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("app.ini", text)
    status, out, err = run(capsys, target)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert says in err
    assert STRONG not in err
    assert "hush" not in err


def test_a_file_that_is_not_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("app.ini").write_bytes(b"[a]\nb = \xff\n")
    assert run(capsys, "app.ini") == (1, "", "session-mw: 'app.ini' cannot be read: it is not UTF-8\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    write("app.ini", f"[x]\nsession.secret_key = {STRONG}\n")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "session_mw", "audit", "app.ini"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
