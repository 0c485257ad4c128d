"""The code on the pages is run, whichever page it stands on; a block that nothing runs is a failure."""

from __future__ import annotations

import re
import shlex
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from session_mw import SessionManager
from session_mw.cli import main
from session_mw.codecs.signed import read_unverified
from session_mw.exceptions import WeakSecretKeyWarning
from session_mw.stores.urls import location_of, open_store
from support.clock import Clock
from support.declared import ROOT
from support.markdown import DOCS, PAGES, README, Block, all_blocks, blocks_of, python_of, text_of
from support.services import Service
from support.tokens import KEY
from support.visitors import Client, Visitor

RunPage = Callable[[Path], dict[str, Any]]

DIRECTIVES = {"{toctree}", "{literalinclude}"}
"""What the site puts in the place of a block."""
LANGUAGES = {"python", "console", "sh", "ini", "nginx", "apacheconf", "text"}
"""Each has its tests in this file, or in test_servers_on_pages.py."""

WITH_PYTHON = [page for page in PAGES if python_of(page).strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_is_in_a_language_that_some_test_runs(page: Path) -> None:
    unknown = [
        f"{block}: {block.language!r}" for block in blocks_of(page) if block.language not in LANGUAGES | DIRECTIVES
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_of_a_page_belongs_to_a_block(page: Path) -> None:
    """One that is indented, or never closed, would not be found and not be run."""
    fences = re.findall(r"^\s*(?:```|~~~)", text_of(page), re.M)
    assert len(fences) == 2 * len(blocks_of(page))


# Python


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, run_page: RunPage) -> None:
    assert run_page(page)["__name__"] == "session_mw_docs_page"


@pytest.mark.parametrize("name", ["bottle", "flask", "other-frameworks", "paste", "pyramid"])
def test_each_framework_has_a_page_of_a_screenful(name: str) -> None:
    page = DOCS / f"{name}.md"
    assert page in WITH_PYTHON
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 85


# Transcripts


class Exchange(NamedTuple):
    """A command of a transcript, and what was printed."""

    command: list[str]
    output: str


def exchanges_of(block: Block) -> list[Exchange]:
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.M) if part]
    return [Exchange(shlex.split(command), output) for command, _, output in parts]


def masked(text: str) -> str:
    """Without what differs from run to run: times, signatures, ids."""
    text = re.sub(r"(session=[\w-]+)\.[\w-]{6}\.[\w-]{27};", r"\1.…;", text)
    return re.sub(r"\b[0-9a-f]{64}\b", "…", text)


def asked(visitor: Any, command: list[str]) -> str:
    """What curl prints of a webtest app's answer."""
    url, options = urlsplit(command[-1]), command[1:-1]
    assert set(options) <= {"-i", "-b", "-c", "jar", "-X", "POST"}
    ask = visitor.post if "POST" in options else visitor.get
    response = ask(url.path, headers={"Host": url.netloc})
    # waitress adds the length where it is known and the application has not said it
    sent = {"Content-Length": str(len(response.body)), **response.headers}
    headers = sorted(f"{name}: {value}" for name, value in sent.items())
    return "\n".join([f"HTTP/1.1 {response.status}", *headers, "", response.text])


def of_the_server(line: str) -> bool:
    return re.fullmatch(r"Date: \w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT|Server: waitress", line) is not None


@pytest.mark.parametrize("block", all_blocks("console"), ids=str)
def test_a_transcript_is_what_the_commands_print(
    block: Block, run_page: RunPage, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    exchanges = exchanges_of(block)
    assert exchanges
    visitor = None
    if any(exchange.command[0] == "curl" for exchange in exchanges):
        webtest = pytest.importorskip("webtest")
        visitor = webtest.TestApp(run_page(block.page)["app"], lint=False)
    if block.page.name in PREPARED:
        PREPARED[block.page.name](clock)
    for command, output in exchanges:
        if command[0] == "curl":
            shown = "\n".join(line for line in output.splitlines() if not of_the_server(line)) + "\n"
            printed = asked(visitor, command)
        else:
            assert command[0] == "session-mw", f"{block}: no test runs {command[0]!r}"
            if command[1] == "inspect":
                clock.now = read_unverified(command[2].partition("=")[2])[1] + 120
            capsys.readouterr()
            assert main(command[1:]) == 0
            shown, printed = output, "".join(capsys.readouterr())
        assert masked(printed) == masked(shown)


def a_session_of_42(clock: Clock) -> None:
    visitor = Client(SessionManager(store="sqlite:///sessions.db"))
    clock.now = datetime(2026, 11, 24, 4, 1, 29, tzinfo=UTC).timestamp()
    visitor.do(lambda session: setattr(session, "principal", "42"))
    clock.now = datetime(2026, 11, 24, 9, 12, 3, tzinfo=UTC).timestamp()
    visitor.do(lambda session: session.update(seen=True))


PREPARED: dict[str, Callable[[Clock], None]] = {"commands.md": a_session_of_42}
"""What has to be there before a page's transcript."""


# Settings in .ini files


def app_factory(global_conf: dict[str, str], **settings: str) -> Any:
    """PasteDeploy's, of the application that a page leaves to its reader."""
    if "pyramid.includes" in settings:
        config = pytest.importorskip("pyramid.config").Configurator(settings=settings)
        config.add_route("index", "/")
        config.add_view(count_of_request, route_name="index")
        return config.make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [count(environ["session"])]

    return app


def count(session: Any) -> bytes:
    session["visits"] = session.get("visits", 0) + 1
    return b"visit %d" % session["visits"]


def count_of_request(request: Any) -> Any:
    return pytest.importorskip("pyramid.response").Response(count(request.session))


@pytest.mark.parametrize("block", all_blocks("ini"), ids=str)
def test_an_ini_file_configures_an_application_that_counts_visits(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loadwsgi = pytest.importorskip("paste.deploy")
    module = types.ModuleType("session_mw_docs_ini")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module)["app_factory"] = app_factory
    text = block.text.replace("use = egg:myapp", f"paste.app_factory = {module.__name__}:app_factory")
    text = text.replace("…", KEY).replace("/var/lib/myapp", str(tmp_path))
    (tmp_path / "site.ini").write_text(text, encoding="utf-8")
    # the page's old keys are words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakSecretKeyWarning)
        app = loadwsgi.loadapp(f"config:{tmp_path}/site.ini")
    if "[server:main]" in text:
        assert callable(loadwsgi.loadserver(f"config:{tmp_path}/site.ini"))
    visitor = Visitor(app)
    # the cookie is Secure
    assert [visitor.get("/", https=True).body for _ in range(2)] == [b"visit 1", b"visit 2"]
    assert (tmp_path / "sessions.db").exists()


# Text


CHECKED_IN = {
    "troubleshooting.md": "tests/project/test_troubleshooting.py",
    "encrypted-format.md": "tests/support/encrypted_reference.py",
    "signed-format.md": "tests/project/test_signed_format.py",
}
"""Where a page's text is compared with what the package does."""


@pytest.mark.parametrize("block", all_blocks("text"), ids=str)
def test_a_text_is_checked_by_what_knows_what_it_means(block: Block) -> None:
    if block.page.name in CHECKED_IN:
        assert f'"{block.page.name}"' in (ROOT / CHECKED_IN[block.page.name]).read_text(encoding="utf-8")
        return
    assert block.page.name == "stores.md", f"no test reads {block}"
    if block.text.startswith("ACL SETUSER"):
        return  # below
    for package in ("redis", "sqlalchemy", "pymemcache"):
        pytest.importorskip(package)
    for url in block.text.split():
        assert location_of(url).kind


@pytest.fixture
def least_rights(valkey: Service) -> Iterator[str]:
    """The URL for a user that may do what docs/stores.md grants."""
    redis = pytest.importorskip("redis")
    (block,) = [block for block in blocks_of(DOCS / "stores.md", "text") if block.text.startswith("ACL")]
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command(*block.text.split())
        yield valkey.url.replace("//", "//sessions:password@")
        client.execute_command("ACL", "DELUSER", "sessions")


def test_the_rights_that_the_page_grants_in_redis_are_enough(least_rights: str) -> None:
    store = open_store(least_rights)
    sessions = SessionManager(store=store, lifetime=1000)
    visitor = Client(sessions)
    visitor.do(lambda session: setattr(session, "principal", "of-the-least-rights"))
    visitor.do(lambda session: session.update(a=1))
    visitor.do(lambda session: session.regenerate_id())
    other = Client(sessions)
    other.do(lambda session: setattr(session, "principal", "of-the-least-rights"))
    assert store.touch(other.key, 500)
    assert len(sessions.sessions_of("of-the-least-rights")) == 2
    visitor.do(lambda session: session.invalidate())
    assert sessions.end_all("of-the-least-rights") == 1
    sessions.end_everyone()
    sessions.close()


# The start


def script_of(page: Path) -> str:
    return "".join(block.text for block in blocks_of(page, "sh"))


def test_shell_commands_stand_on_two_pages_and_are_the_same() -> None:
    assert {block.page for block in all_blocks("sh")} == {README, DOCS / "quickstart.md"}
    assert script_of(README) == script_of(DOCS / "quickstart.md")
    assert blocks_of(README, "python")[0].text == blocks_of(DOCS / "quickstart.md", "python")[0].text


# Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page)) + re.findall(r'src="([^"]+)"', text_of(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []
