"""Run by `tox -e wheel` as a program, with nothing installed but the wheel and its hard dependencies."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import session_mw
from session_mw.inspector import SessionInspector

KEY = "a-key-for-the-smoke-test-of-the-wheel"
OPTIONAL = ["bottle", "cryptography", "flask", "jwt", "paste", "pymemcache", "pyramid", "pytest", "redis", "sqlalchemy"]


def count_visits(environ, start_response):
    session = environ["session"]
    session["visits"] = session.get("visits", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"visit %d" % session["visits"]]


def visit(app, cookie=""):
    """Return the body and the cookie of one request."""
    seen = {}
    environ = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "HTTP_HOST": "localhost", "HTTP_COOKIE": cookie}
    body = b"".join(app(environ, lambda status, headers, exc_info=None: seen.update(headers)))
    return body, seen["Set-Cookie"].partition(";")[0]


def check_place():
    package = Path(session_mw.__file__).parent
    assert package.is_relative_to(sys.prefix), f"{package} is not the installed wheel"
    assert (package / "py.typed").is_file(), "py.typed is missing: type checkers ignore the annotations"
    present = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert not present, f"not a bare environment: {present}"


def check_metadata():
    metadata = importlib.metadata.metadata("session_mw")
    assert metadata["Requires-Python"] == ">=3.11"
    files = [str(file) for file in importlib.metadata.files("session_mw") or []]
    assert any(file.endswith("LICENSE") for file in files), "the license is missing"
    strays = [file for file in files if not file.startswith(("session_mw", "..")) and "dist-info" not in file]
    assert not strays, f"files that do not belong in the wheel: {strays}"


def check_sessions():
    app = session_mw.SessionMiddleware(count_visits, secret_key=KEY)
    body, cookie = visit(app)
    assert body == b"visit 1", body
    assert visit(app, cookie)[0] == b"visit 2"


def check_inspector():
    app = session_mw.SessionMiddleware(SessionInspector(count_visits, debug=True), secret_key=KEY)
    seen = {}
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/_session", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    body = b"".join(app(environ, lambda status, headers, exc_info=None: seen.update({"status": status})))
    assert seen["status"] == "200 OK", seen
    assert b"--accent" in body, "the stylesheet is missing"


def check_errors():
    message = "encrypt=True was accepted without cryptography"
    try:
        session_mw.SessionMiddleware(count_visits, secret_key=KEY, encrypt=True)
    except session_mw.ConfigurationError as error:
        message = str(error)
    assert "session_mw[encrypted]" in message, message


def check_commands():
    script = Path(sysconfig.get_path("scripts"), "session-mw")
    for command in ([str(script), "keygen"], [sys.executable, "-I", "-m", "session_mw", "keygen"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.strip()) >= 32, f"{command} printed {len(done.stdout)} characters"


def main():
    checks = [check_place, check_metadata, check_sessions, check_inspector, check_errors, check_commands]
    for check in checks:
        check()
        print(f"{check.__name__}: ok")
    print(f"{len(checks)} passed, 0 failed")


if __name__ == "__main__":
    main()
