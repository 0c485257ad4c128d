"""The tables and recipes in docs/: settings, stores, errors, log-in by hand, proxies, Flask's config, costs."""

from __future__ import annotations

import ast
import builtins
import json
import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from session_mw import SessionManager, SessionMiddleware, StoreError, exceptions
from session_mw.config import FLASK_NAMES
from session_mw.settings import Settings
from session_mw.stores.urls import STORES
from support.declared import ROOT, SETUP
from support.markdown import DOCS, PAGES, code, prose_of, table, text_of
from support.tokens import KEY
from support.visitors import Visitor
from support.wsgi import Server, guarded, page, visit

SETTINGS, STORES_PAGE, SESSION = DOCS / "settings.md", DOCS / "stores.md", DOCS / "session.md"
PRODUCTION, SECURITY = DOCS / "production.md", DOCS / "security.md"
SETTING_NAMES = {field.name for field in fields(Settings)}


# Settings


def test_the_settings_table_has_every_setting_in_order_with_its_default():
    rows = [
        (code(name)[0], eval(code(default)[0], {"timedelta": timedelta}))
        for name, default, *_ in table(SETTINGS, "setting")
    ]
    assert rows == [(field.name, field.default) for field in fields(Settings)]


def test_the_settings_table_has_flask_s_names():
    rows = {code(last)[0]: code(name)[0] for name, _, _, last in table(SETTINGS, "setting") if last}
    assert rows == FLASK_NAMES


@pytest.mark.parametrize("name", ["session", "production", "security", "settings", "how-it-works", "quickstart"])
def test_every_setting_that_a_page_writes_with_a_value_exists(name):
    others = set("environ_key sessions max_sessions keep fresh_for next x_proto x_host trusted_proxy max_age".split())
    others |= set(
        "trusted_proxy_headers processes threads timeout forwarded_allow_ips cache table prefix days minutes".split()
    )
    spans = code(prose_of(DOCS / f"{name}.md"))
    written = {found for span in spans for found in re.findall(r"(?<![\w-])([a-z_]+)=(?!=)", span)}
    assert written - others <= SETTING_NAMES


def test_every_extra_that_a_page_names_is_declared():
    named = {extra for row in table(STORES_PAGE, "URL") for extra in code(row[-1])}
    for some in PAGES:
        named |= set(re.findall(r"extra `(\w+)`", text_of(some)))
        named |= {
            extra for extras in re.findall(r'"[\w./]*\[([\w,]+)\]"', text_of(some)) for extra in extras.split(",")
        }
    assert named <= set(SETUP["options.extras_require"]) | {"session"}
    assert {"redis", "memcached", "sqlalchemy", "encrypted", "demo"} <= named


# Stores


def test_the_stores_table_names_every_kind_of_store():
    schemes = {urlsplit(url).scheme for row in table(STORES_PAGE, "URL") for url in code(row[0])}
    modules = {STORES.get(scheme) or STORES[scheme.partition("+")[0]] for scheme in schemes}
    assert modules == set(STORES.values())


def test_the_migrating_example_keeps_the_sessions_of_the_old_store(run_page):
    names = run_page(STORES_PAGE)
    old = SessionManager(store=f"file://{Path.cwd()}/sessions")
    session = old.open({})
    session["user_id"] = 42
    cookie = dict(old.commit(session))["Set-Cookie"].partition(";")[0]
    assert visit(names["moving"], cookie=cookie).status == "200 OK"
    assert old.open({"HTTP_COOKIE": cookie}) == {}
    assert SessionManager(store="sqlite:///sessions.db").open({"HTTP_COOKIE": cookie}) == {"user_id": 42, "seen": True}


class DownStore:
    """A store whose server does not answer."""

    def fail(self, *_):
        raise StoreError("down")

    load = create = update = touch = delete = fail

    def close(self):
        """Nothing to close."""


@pytest.mark.parametrize("do", [len, lambda session: session.update(a=1)], ids=["read", "written"])
def test_an_outage_becomes_a_503_that_says_when_to_come_back(do, run_page):
    wrap = run_page(STORES_PAGE)["sorry_while_down"]
    answer = visit(wrap(SessionMiddleware(page(do), store=DownStore())), cookie="session=" + "A" * 43)
    assert answer.status == "503 Service Unavailable"
    assert answer.all("Retry-After") == ["30"]
    assert answer.cookies == []


def test_a_page_that_does_not_touch_its_session_is_served_during_an_outage(run_page):
    wrap = run_page(STORES_PAGE)["sorry_while_down"]
    answer = visit(wrap(SessionMiddleware(page(), store=DownStore())), cookie="session=" + "A" * 43)
    assert answer.status == "200 OK"


def test_the_store_of_the_page_keeps_to_the_contract_in_forty_lines(run_page):
    source = text_of(DOCS / "extending.md").partition("class TableStore:\n")[2].partition("```")[0]
    assert len(source.splitlines()) < 40
    store = run_page(DOCS / "extending.md")["TableStore"]("web.db")
    assert store.load("a" * 64) is None
    visitor = Visitor(guarded(page(lambda session: session.update(seen=len(session))), store=store))
    assert [visitor.get().status for _ in range(2)] == ["200 OK"] * 2


# Errors


def test_the_errors_table_names_every_error_and_what_else_it_is():
    rows = {code(name)[0]: code(base)[0] for name, base, _ in table(DOCS / "errors.md", "| is also a")}
    public = {name: error for name, error in vars(exceptions).items() if isinstance(error, type)}
    assert rows.keys() == public.keys()
    for name, base in rows.items():
        assert issubclass(public[name], vars(exceptions).get(base) or getattr(builtins, base))


# The session


def test_the_table_of_the_session_has_what_a_session_has():
    named = {code(row[0])[0].removesuffix("()") for row in table(SESSION, "attribute or call")}
    session = SessionManager(KEY).open({})
    assert [name for name in sorted(named) if not hasattr(session, name)] == []
    assert {"permanent", "lifetime", "principal", "label", "regenerate_id", "invalidate", "id"} <= named


@pytest.mark.parametrize("store", [None, "memory://"])
@pytest.mark.parametrize("name", ["session", "quickstart"])
def test_the_log_in_recipe_begins_a_permanent_session_of_the_user_and_ends_it(name, store, run_page, capsys):
    recipe = run_page(DOCS / f"{name}.md")

    def do(session):
        (recipe["log_in"](session, 42) if session.new else recipe["log_out"](session))

    sessions = SessionManager(KEY, store=store)
    visitor = Visitor(guarded(page(do), sessions=sessions))
    assert "Expires=" in visitor.get().cookies[0]
    session = sessions.open({"HTTP_COOKIE": visitor.cookie})
    assert session == {"user_id": 42, "_permanent": True}
    assert session.principal == "42"
    assert "Max-Age=0" in visitor.get().cookies[0]
    assert visitor.cookie is None


def test_the_recipe_for_other_devices_ends_the_user_s_sessions(run_page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = SessionManager(store="sqlite:///sessions.db")
    session = before.open({})
    session.principal = "42"
    session["user_id"] = "42"
    cookie = dict(before.commit(session))["Set-Cookie"]
    after = run_page(SESSION)["sessions"]
    assert capsys.readouterr().out.split() == [session.id, str(session.created), str(session.created)]
    assert after.open({"HTTP_COOKIE": cookie.partition(";")[0]}) == {}


def test_a_message_of_the_recipe_is_shown_in_the_next_request(run_page):
    show = run_page(SESSION)["page"]
    session = {}
    assert [show(session), show(session)] == [[], ["Saved."]]


# In production


def test_the_proxy_s_scheme_makes_the_cookie_secure():
    waitress = pytest.importorskip("waitress")
    (call,) = [
        ast.parse(span, mode="eval").body for span in code(prose_of(PRODUCTION)) if span.startswith("serve(app, ")
    ]
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    app = SessionMiddleware(page(lambda session: session.update(a=1)), secret_key=KEY)
    server = waitress.create_server(app, **options, host="127.0.0.1", port=0)
    proxied = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "https"}
    environ = {"wsgi.url_scheme": "http", "SERVER_PORT": "80", "SERVER_NAME": "x", **proxied}
    try:
        assert "; Secure" in Server(server.application, environ).run().cookies[0]
    finally:
        server.close()


def test_the_settings_of_gunicorn_are_gunicorn_s(run_page):
    known = pytest.importorskip("gunicorn.config").Config().settings
    chosen = {name: value for name, value in run_page(PRODUCTION).items() if not name.startswith("__")}
    assert len(chosen) == 4
    for name, value in chosen.items():
        known[name].set(value)


def test_the_costs_are_those_that_are_recorded():
    figures = json.loads((ROOT / "benchmarks" / "recorded.json").read_text())["parts"]["in_process"]

    def ours(what):
        return figures[what]["session_mw"]

    def times(what):
        return figures[what]["Flask"] / ours(what)

    text = " ".join(text_of(PRODUCTION).partition("## What it costs")[2].split())
    said = [
        int(number) for number in re.findall(r"\b(\d+)\b(?! bytes)", text.partition("`python")[0].replace("3 KB", ""))
    ]
    recorded = [
        *(ours(what) for what in ("no cookie 100 B", "read 100 B", "write 100 B")),
        *(ours(what) for what in ("read, strangers 100 B", "write, strangers 100 B")),
        *(times(what) for what in ("read 100 B", "write 100 B", "read 3 KB", "write 3 KB")),
    ]
    assert said == pytest.approx(recorded, rel=0.2)


# Coming from Flask


def test_flask_s_config_becomes_settings(run_page):
    settings = run_page(DOCS / "coming-from-flask.md")["app"].sessions.settings
    assert (settings.secret_key, settings.cookie_secure, settings.lifetime) == (KEY, True, 86400)


def test_a_whole_app_config_brings_flask_s_own_defaults_along():
    flask = pytest.importorskip("flask")
    flask_app = flask.Flask("page")
    flask_app.config["SECRET_KEY"] = KEY
    settings = SessionManager.from_mapping(flask_app.config).settings
    assert (settings.cookie_secure, settings.cookie_samesite) == (False, None)


# Security


def test_an_item_of_the_standard_has_the_form_of_one():
    rows = [row for line in ("| threat |",) for part in text_of(SECURITY).split("\n## ") for row in _rows(part, line)]
    items = [item.strip() for row in rows for item in row[-1].split(",")]
    assert len(rows) >= 20
    assert [item for item in items if not re.fullmatch(r"(1?\d)\.\d\.\d\d?", item)] == []


def _rows(part, header):
    lines = part[part.index(header) :].partition("\n\n")[0].splitlines()[2:] if header in part else []
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def test_the_settings_that_the_page_advises_fail_no_item_of_the_audit(run_page, capsys):
    from session_mw.commands.audit import audit
    from session_mw.commands.report import FAIL

    settings = run_page(SECURITY)["sessions"].settings
    assert [finding.attribute for finding in audit(settings) if finding.verdict == FAIL] == []
