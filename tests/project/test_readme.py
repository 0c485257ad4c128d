"""What the README says is so: its Python runs, its transcripts are what the demo answers, its tables are complete."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
from dataclasses import fields
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from session_mw import SessionManager, SessionMiddleware, StoreError, exceptions
from session_mw.cli import main
from session_mw.codecs.signed import read_unverified
from session_mw.config import FLASK_NAMES
from session_mw.settings import Settings
from session_mw.stores.urls import STORES
from support.declared import SETUP, names
from support.tokens import KEY
from support.visitors import Visitor
from support.wsgi import Server, guarded, page, visit

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROSE = BLOCK.sub("", README)
SETTING_NAMES = {field.name for field in fields(Settings)}


class Block(NamedTuple):
    """A fenced block, and the last heading above it."""

    section: str
    language: str
    text: str
    line: int

    def run(self):
        """Execute it; return its names."""
        namespace = {"KEY": KEY, "app": page(), "__name__": __name__}
        exec(compile("\n" * (self.line - 1) + self.text, str(ROOT / "README.md"), "exec"), namespace)
        return namespace


def fenced_blocks():
    for match in BLOCK.finditer(README):
        headings = re.findall(r"^#+ (.*)$", README[: match.start()], re.MULTILINE)
        yield Block(headings[-1], *match.groups(), README.count("\n", 0, match.start()) + 2)


BLOCKS = list(fenced_blocks())
PYTHON = [block for block in BLOCKS if block.language == "python"]


def imported_by(text):
    tree = list(ast.walk(ast.parse(text)))
    modules = [node.module for node in tree if isinstance(node, ast.ImportFrom)]
    return {
        name.partition(".")[0]
        for name in modules + [n.name for i in tree if isinstance(i, ast.Import) for n in i.names]
    }


def python_of(section, word=""):
    (block,) = [block for block in PYTHON if block.section == section and word in block.text]
    for module in sorted(imported_by(block.text)):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    return block


def table(section, header):
    """The rows of the table whose header begins with ``header``, as lists of cells."""
    part = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = part[part.index(f"| {header}") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[2:]]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(autouse=True)
def _as_a_reader(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.delenv("SESSION_MW_SECRET_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sessions").mkdir(mode=0o700)


# Python


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"line {block.line}")
def test_every_python_block_runs(block):
    for module in sorted(imported_by(block.text)):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    assert block.run().keys() > {"KEY", "app"}


@pytest.mark.parametrize(("section", "word"), [("session_mw", ""), ("Frameworks", "bottle"), ("Frameworks", "pyramid")])
def test_an_example_counts_a_visitor_s_visits(section, word):
    visitor = Visitor(python_of(section, word).run()["app"])
    assert [visitor.get().body for _ in range(3)] == [b"visit 1\n", b"visit 2\n", b"visit 3\n"]


def test_the_first_example_has_ten_lines():
    tree = ast.parse(PYTHON[0].text)
    assert sum(len(ast.unparse(statement).splitlines()) for statement in tree.body) <= 10


@pytest.mark.parametrize("store", [None, "memory://"])
def test_the_log_in_recipe_begins_a_permanent_session_of_the_user_and_ends_it(store):
    recipe = python_of("Log-in and log-out", "def log_in").run()

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


def test_the_recipe_for_other_devices_ends_the_user_s_sessions(capsys):
    before = SessionManager(store="sqlite:///sessions.db")
    session = before.open({})
    session.principal = "42"
    session["user_id"] = "42"
    cookie = dict(before.commit(session))["Set-Cookie"]
    after = python_of("Log-in and log-out", "sessions_of").run()["sessions"]
    assert capsys.readouterr().out.split() == [session.id, str(session.created), str(session.created)]
    assert after.open({"HTTP_COOKIE": cookie.partition(";")[0]}) == {}


def test_the_migrating_example_keeps_the_sessions_of_the_old_store():
    old = SessionManager(store=f"file://{Path.cwd()}/sessions")
    session = old.open({})
    session["user_id"] = 42
    cookie = dict(old.commit(session))["Set-Cookie"].partition(";")[0]
    sessions = python_of("Stores", "MigratingStore").run()["app"].sessions
    moved = sessions.open({"HTTP_COOKIE": cookie})
    assert moved == {"user_id": 42}
    moved["seen"] = True
    sessions.commit(moved)
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
def test_an_outage_becomes_a_503_that_says_when_to_come_back(do):
    wrap = python_of("Stores", "sorry_while_down").run()["sorry_while_down"]
    answer = visit(wrap(SessionMiddleware(page(do), store=DownStore())), cookie="session=" + "A" * 43)
    assert answer.status == "503 Service Unavailable"
    assert answer.all("Retry-After") == ["30"]
    assert answer.cookies == []


def test_a_page_that_does_not_touch_its_session_is_served_during_an_outage():
    wrap = python_of("Stores", "sorry_while_down").run()["sorry_while_down"]
    answer = visit(wrap(SessionMiddleware(page(), store=DownStore())), cookie="session=" + "A" * 43)
    assert answer.status == "200 OK"


def test_the_proxy_s_scheme_makes_the_cookie_secure():
    waitress = pytest.importorskip("waitress")
    (call,) = [ast.parse(span, mode="eval").body for span in code(PROSE) if span.startswith("serve(app, ")]
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    app = SessionMiddleware(page(lambda session: session.update(a=1)), secret_key=KEY)
    server = waitress.create_server(app, **options, host="127.0.0.1", port=0)
    proxied = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "https"}
    environ = {"wsgi.url_scheme": "http", "SERVER_PORT": "80", "SERVER_NAME": "x", **proxied}
    try:
        assert "; Secure" in Server(server.application, environ).run().cookies[0]
    finally:
        server.close()


def test_flask_s_config_becomes_settings():
    settings = python_of("Coming from Flask").run()["app"].sessions.settings
    assert (settings.secret_key, settings.cookie_secure, settings.lifetime) == (KEY, True, 86400)


def test_a_whole_app_config_brings_flask_s_own_defaults_along():
    flask = pytest.importorskip("flask")
    flask_app = flask.Flask("readme")
    flask_app.config["SECRET_KEY"] = KEY
    settings = SessionManager.from_mapping(flask_app.config).settings
    assert (settings.cookie_secure, settings.cookie_samesite) == (False, None)


# Transcripts


class Exchange(NamedTuple):
    """A command of a transcript, and what was printed."""

    command: list[str]
    output: str


def transcript(program):
    parts = [
        part for block in BLOCKS if block.language == "console" for part in re.split(r"^\$ ", block.text, flags=re.M)
    ]
    exchanges = [(command, output) for command, _, output in (part.partition("\n") for part in parts if part)]
    return [Exchange(shlex.split(command), out) for command, out in exchanges if command.startswith(program)]


def masked(line):
    """Without what differs from run to run: the token's time and signature."""
    return re.sub(r"(session=[\w-]+)\.[\w-]{6}\.[\w-]{27};", r"\1.…;", line)


def ask(visitor, command):
    """Let a webtest app do what a curl command does."""
    url, options = urlsplit(command[-1]), command[1:-1]
    host = {"Host": url.netloc}
    if "-d" in options:
        return visitor.post(url.path, options[options.index("-d") + 1], headers=host)
    return visitor.post(url.path, headers=host) if "POST" in options else visitor.get(url.path, headers=host)


def test_the_curl_transcript_is_what_the_demo_answers():
    pytest.importorskip("waitress")
    webtest = pytest.importorskip("webtest")
    import demo_app

    visitor = webtest.TestApp(guarded(demo_app.app), lint=False)
    exchanges = transcript("curl")
    for command, output in exchanges:
        head, _, body = output.partition("\n\n")
        status, *lines = head.splitlines()
        response = ask(visitor, command)
        answered = sorted(f"{name}: {value}" for name, value in response.headers.items())
        assert status == f"HTTP/1.1 {response.status}"
        assert [masked(line) for line in lines if not line.startswith(("Date:", "Server:"))] == list(
            map(masked, answered)
        )
        assert body == response.text
    assert len(exchanges) == 2


def test_every_header_line_of_a_transcript_has_the_shape_of_one():
    heads = [output.partition("\n\n")[0].splitlines()[1:] for _, output in transcript("curl")]
    assert all(re.fullmatch(r"[A-Z][A-Za-z-]+: [ -~]+", line) for head in heads for line in head)
    assert [line for head in heads for line in head if line.startswith("Date:")] != []


def test_the_inspect_transcript_is_what_the_command_prints(capsys, clock):
    ((command, output),) = transcript("session-mw")
    clock.now = read_unverified(command[2].partition("=")[2])[1] + 120
    assert main(command[1:]) == 0
    assert capsys.readouterr().out == output


# Tables


def test_the_settings_table_has_every_setting_in_order_with_its_default():
    rows = [
        (code(name)[0], eval(code(default)[0], {"timedelta": timedelta}))
        for name, default, *_ in table("Settings", "setting")
    ]
    assert rows == [(field.name, field.default) for field in fields(Settings)]


def test_the_settings_table_has_flask_s_names():
    rows = {code(last)[0]: code(name)[0] for name, _, _, last in table("Settings", "setting") if last}
    assert rows == FLASK_NAMES


def test_every_setting_that_the_readme_writes_with_a_value_exists():
    of_others = set("sessions environ_key keep username type cookie_expires days table prefix port".split())
    of_others |= set("x_proto trusted_proxy trusted_proxy_headers session cache debug".split())
    written = {name for span in code(PROSE) for name in re.findall(r"\b([a-z_]+)=(?!=)", span)}
    assert written - of_others <= SETTING_NAMES
    assert len(written & SETTING_NAMES) >= 5


def test_the_stores_table_names_every_kind_of_store():
    schemes = {urlsplit(url).scheme for row in table("Stores", "URL") for url in code(row[0])}
    modules = {STORES.get(scheme) or STORES[scheme.partition("+")[0]] for scheme in schemes}
    assert modules == set(STORES.values())


def test_every_extra_that_the_readme_names_is_declared():
    extras = {extra for row in table("Stores", "URL") for extra in code(row[-1])}
    extras |= set(re.findall(r"extra `(\w+)`", README)) | set(re.findall(r'"\.\[(\w+)\]"', README))
    assert extras <= set(SETUP["options.extras_require"])
    assert {"redis", "memcached", "sqlalchemy", "encrypted", "demo"} <= extras


def test_the_errors_table_names_every_error_and_what_else_it_is():
    rows = {code(name)[0]: code(base)[0] for name, base, _ in table("Errors", "| is also a")}
    public = {name: error for name, error in vars(exceptions).items() if isinstance(error, type)}
    assert rows.keys() == public.keys()
    for name, base in rows.items():
        assert issubclass(public[name], vars(exceptions).get(base) or getattr(builtins, base))


# The rest


def test_the_two_commands_stand_there():
    assert '    python -m pip install -e ".[demo]" && python demo_app.py\n' in README
    assert "    python -m pip install tox && tox\n" in README


def test_it_needs_nothing_but_what_it_says():
    assert "It needs `itsdangerous`, `webob` and `msgspec`, nothing else." in README
    assert names(SETUP["options"]["install_requires"]) == {"itsdangerous", "webob", "msgspec"}


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", README)
    anchors = {
        re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", README, re.M)
    }
    broken = [t for t in targets if (t[1:] not in anchors if t[0] == "#" else not (ROOT / t).exists())]
    assert targets
    assert broken == []
