"""The demo's options, and what it says of those that cannot work."""

from __future__ import annotations

import errno
import re
import socket
import sys

import pytest

from support.demo import failing_demo
from support.services import HOST
from support.tokens import KEY

waitress = pytest.importorskip("waitress")
webtest = pytest.importorskip("webtest")
demo_app = pytest.importorskip("demo_app")


class Served(Exception):
    """The application that would be served now."""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command with options, up to the moment at which it would serve; the application and where."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", KEY)

    def serve(app, **where):
        raise Served(app, where)

    def command(*options):
        monkeypatch.setattr(sys, "argv", ["demo_app.py", *options])
        with monkeypatch.context() as patched:
            patched.setattr(waitress, "serve", serve)
            with pytest.raises(Served) as served:
                demo_app.run(demo_app.wrap, demo_app.__doc__)
        return served.value.args

    return command


@pytest.fixture
def refuse(monkeypatch, tmp_path, capsys):
    """Runs the command with options that cannot work; what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", KEY)

    def command(*options):
        monkeypatch.setattr(sys, "argv", ["demo_app.py", *options])
        with pytest.raises(SystemExit) as ended:
            demo_app.run(demo_app.wrap, demo_app.__doc__)
        assert ended.value.code == 2
        return capsys.readouterr().err

    return command


def test_it_listens_on_loopback_unless_told_otherwise(run):
    assert run()[1] == {"host": HOST, "port": 8080}
    assert run("--host", "::1", "--port", "9000")[1] == {"host": "::1", "port": 9000}


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ([], r"eyJ1c2VybmFtZSI6ImNpeml4cyJ9\.[\w-]{6}\.[\w-]{27}"),
        (["--store", "sqlite:///demo.db"], r"[\w-]{43}"),
        (["--encrypt"], r"A[\w-]+"),
        (["--encrypt", "--store", "sqlite:///demo.db"], r"[\w-]{43}"),
        (["--revocations", "sqlite:///ended.db"], r"eyJ[\w-]+\.[\w-]{6}\.[\w-]{27}"),
    ],
)
def test_an_option_says_where_sessions_are(run, options, shape, tmp_path):
    app, _ = run(*options)
    visitor = webtest.TestApp(app, lint=False)
    visitor.post("/login", {"username": "cizixs"})
    assert re.fullmatch(shape, visitor.cookies["session"])
    assert visitor.get("/").text.startswith("hello, cizixs\n")
    written = b"".join(file.read_bytes() for file in tmp_path.glob("*.db*"))
    assert (b"cizixs" in written) is (options == ["--store", "sqlite:///demo.db"])


def test_flask_is_mounted_where_it_is_asked_for(run):
    pytest.importorskip("flask")
    visitor = webtest.TestApp(run("--flask")[0], lint=False)
    assert "from Flask" in visitor.get("/flask/")
    assert "--flask" in webtest.TestApp(run()[0], lint=False).get("/flask/")


def test_without_a_key_it_says_so_in_one_line(run, monkeypatch, capsys):
    run()
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("SECRET_KEY", "")
    run()
    said = "SECRET_KEY is not set: using a random key, so cookie sessions end with this process.\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--store", "sqlit:///sessions.db"], "did you mean 'sqlite'?"),
        (["--store", "sqlite:///a.db", "--revocations", "sqlite:///b.db"], "revocations"),
        (["--revocations", "nothing"], "nothing"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(refuse, options, words):
    said = refuse(*options)
    assert re.fullmatch(r"demo_app\.py: error: .*\n", said)
    assert words in said


@pytest.mark.parametrize("port", ["70000", "-1", "http", "9" * 5000, "²"])
def test_a_port_is_a_number(refuse, port):
    said = refuse(f"--port={port}").splitlines()[-1]
    assert said == f"demo_app.py: error: argument --port: a port is a number up to 65535; {port} is not"


def test_an_address_that_cannot_be_had_is_told_with_what_to_do(tmp_path):
    # In a process of its own: waitress does not tidy up behind a server that could not be made.
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        said = failing_demo(tmp_path, "--port", str(port))
    assert said == f"demo_app.py: error: port {port} is taken; choose another one: --port {port + 1}\n"
    assert failing_demo(tmp_path, "--host", "no.such.host.invalid") == (
        "demo_app.py: error: nothing can listen at no.such.host.invalid: Invalid host/port specified.\n"
    )


def test_what_the_system_says_of_an_address_is_told_too(refuse, monkeypatch):
    def serve(*_, **__):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(waitress, "serve", serve)
    assert refuse("--port", "80") == (f"demo_app.py: error: nothing can listen at {HOST}, port 80: Permission denied\n")


@pytest.mark.parametrize(("package", "options", "extra"), [("flask", ["--flask"], "flask"), ("waitress", [], "demo")])
def test_a_missing_package_is_told_with_the_extra_that_brings_it(refuse, monkeypatch, package, options, extra):
    monkeypatch.setitem(sys.modules, package, None)
    said = refuse(*options)
    assert said.count("\n") == 1
    assert said.endswith(f"python -m pip install -e '.[{extra}]'\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device-bound"], "--device-bound --tls FILE"),
        (["--tls", "/no/such.pem"], "/no/such.pem: No such file or directory"),
        (["--tls", __file__], "a PEM file with a private key and its certificate"),
        (["--tls", __file__, "--host", "0.0.0.0"], "this machine only"),
    ],
)
def test_https_that_cannot_be_had_is_told_in_one_line(refuse, options, words):
    said = refuse(*options)
    assert re.fullmatch(r"demo_app\.py: error: .*\n", said)
    assert words in said
