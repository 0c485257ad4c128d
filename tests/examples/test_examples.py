"""The programs in examples/: as applications between two validators, and as processes that somebody starts."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import services, sockets
from support.declared import ROOT
from support.tokens import KEY
from support.validators import between_validators

webtest = pytest.importorskip("webtest")

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(EXAMPLES.glob("[!_]*.py"))
NAMES = [program.stem for program in PROGRAMS]
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports an example, as a server does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", KEY)

    def imported(name: str) -> ModuleType:
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        for package in re.findall(r"^(?:from|import) (\w+)", text, re.M):
            pytest.importorskip(package)
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Flask looks for the module that calls it.
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def visitor_of(app: Any) -> Any:
    # webtest's own lint wants bare str in an environ that holds a session.
    return webtest.TestApp(app, lint=False)


def checked(module: ModuleType) -> Any:
    """A visitor of the example, whose middleware stands between two validators."""
    app = module.app
    inner = app.app

    def rewrapped(checked_inner: Any) -> Any:
        app.app = checked_inner
        return app

    return visitor_of(between_validators(rewrapped, inner, app.environ_key))


def test_the_one_without_a_framework_counts_visits_and_remembers_the_last_pages(load: Any) -> None:
    visitor = checked(load("wsgi_app"))
    assert visitor.get("/").text == "visit 1, pages: /\n"
    assert visitor.get("/a").text == "visit 2, pages: / /a\n"
    for number in range(20):
        last = visitor.get(f"/{number}").text
    assert last == "visit 22, pages: /15 /16 /17 /18 /19\n"


@pytest.mark.parametrize("name", ["bottle_app", "flask_app", "pyramid_app"])
def test_a_visitor_logs_in_fills_a_cart_and_logs_out(load: Any, name: str) -> None:
    module = load(name)
    visitor = checked(module) if name == "bottle_app" else visitor_of(webtest.lint.middleware(module.app))
    page = visitor.get("/")
    assert "Hello, stranger. Your cart: empty." in page
    page.forms[0]["name"] = "<Ada>"
    page = page.forms[0].submit().follow()
    token = visitor.cookies["session"]
    assert "Hello, &lt;Ada&gt;." in page
    for item in ("apple", "pear"):
        page.forms[0]["item"] = item
        page = page.forms[0].submit().follow()
    assert "Your cart: apple, pear." in page
    assert "Hello, stranger. Your cart: empty." in page.forms[1].submit().follow()
    assert visitor.cookies.get("session") != token


@pytest.mark.parametrize("name", ["flask_app", "pyramid_app"])
def test_a_flashed_message_is_shown_once(load: Any, name: str) -> None:
    visitor = visitor_of(load(name).app)
    page = visitor.get("/")
    page.forms[0]["name"] = "Ada"
    assert "<em>You are logged in.</em>" in page.forms[0].submit().follow()
    assert "<em>" not in visitor.get("/")


@pytest.mark.parametrize("name", ["bottle_app", "pyramid_app"])
def test_a_cookie_holds_a_full_cart(load: Any, name: str) -> None:
    visitor = visitor_of(load(name).app)
    page = visitor.get("/")
    page.forms[0]["name"] = "\U0001f34e" * 60
    page = page.forms[0].submit().follow()
    for number in range(10):
        page.forms[0]["item"] = f"{number}" + "".join(chr(0x10000 + 977 * n + number) for n in range(60))
        page = page.forms[0].submit().follow()
    assert "9" in page.text.partition("Your cart:")[2]


def test_a_form_of_pyramid_without_its_token_is_refused(load: Any) -> None:
    visitor_of(load("pyramid_app").app).post("/login", {"name": "Ada"}, status=400)


@pytest.mark.parametrize("name", ["beaker_before", "beaker_after"])
def test_the_app_of_beaker_is_the_same_after_as_before(load: Any, name: str) -> None:
    module = load(name)
    visitor = checked(module) if name == "beaker_after" else visitor_of(module.app)
    assert visitor.get("/").text == "cart: empty\n"
    visitor.get("/add/apple")
    assert visitor.get("/add/pear").text == "cart: apple, pear\n"
    assert visitor.get("/").text == "cart: apple, pear\n"
    visitor.get("/out")
    assert visitor.get("/").text == "cart: empty\n"


def test_the_views_of_beaker_differ_by_two_lines() -> None:
    before, after = ((EXAMPLES / f"beaker_{when}.py").read_text().splitlines() for when in ("before", "after"))
    views = [lines[lines.index("def cart_app(environ, start_response):") :] for lines in (before, after)]
    views = [lines[: lines.index("")] for lines in views]
    changed = [line for line in difflib.ndiff(*views) if line[0] in "+-"]
    assert changed == ["-         session.save()", "-         session.delete()", "+         session.invalidate()"]


def test_one_log_in_is_seen_by_three_frameworks(load: Any) -> None:
    visitor = checked(load("three_frameworks"))
    assert visitor.get("/blog/").text == "Pages read: 1, by a stranger"
    sent_away = visitor.get("/admin/", status=303)
    assert sent_away.location.endswith("/?next=/admin/")
    page = sent_away.follow()
    assert "Hello, stranger." in page
    page.forms[0]["name"], page.forms[0]["password"] = "ada", "guessed"
    assert "Hello, stranger." in page.forms[0].submit(headers=FROM_HERE).follow()
    page.forms[0]["password"] = "correct horse"
    page = page.forms[0].submit(headers=FROM_HERE).follow()
    assert "Hello, ada." in page
    assert visitor.get("/blog/").text == "Pages read: 2, by ada"
    assert visitor.get("/admin/").json == {"user": "ada", "read": 2}
    page.forms[0].submit(headers={"Sec-Fetch-Site": "cross-site"}, status=403)
    assert "Hello, stranger." in page.forms[0].submit(headers=FROM_HERE).follow()
    visitor.get("/admin/", status=303)
    assert visitor.get("/blog/").text == "Pages read: 1, by a stranger"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_that_is_imported_makes_no_key_of_its_own(
    load: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker of a server would have another one."""
    if "SECRET_KEY" not in (EXAMPLES / f"{name}.py").read_text() or name == "flask_app":
        assert load(name).app is not None
        return
    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key != "SECRET_KEY"})
    with pytest.raises(KeyError, match="SECRET_KEY"):
        load(name)


def test_the_table_of_the_folder_lists_every_example() -> None:
    listed = re.findall(r"\[\w+\.py\]\((\w+)\.py\)", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == NAMES


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return sockets.ask(port, "/").status == 200
    return False


@pytest.mark.heavy
def test_each_runs_as_a_program(tmp_path: Path) -> None:
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    ports = {program: services.free_port() for program in PROGRAMS}
    with contextlib.ExitStack() as running:
        processes = {}
        for program, port in ports.items():
            folder = tmp_path / program.stem
            folder.mkdir()
            log = running.enter_context((folder / "log").open("wb"))
            processes[program] = process = subprocess.Popen(
                [sys.executable, str(program)],
                cwd=folder,
                env=environment | {"PORT": str(port)},
                stdout=log,
                stderr=log,
            )
            running.callback(process.wait, 10)
            running.callback(process.terminate)
        for program, process in processes.items():
            log_file = tmp_path / program.stem / "log"
            services.wait_until(
                lambda process=process, port=ports[program]: process.poll() is not None or _answers(port),
                f"{program.name} does not answer",
            )
            assert process.poll() is None, f"{program.name}: {log_file.read_text()}"
