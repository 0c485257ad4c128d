"""The commands and the settings of servers that pages show, run with these servers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from session_mw import SessionMiddleware
from support import services
from support.declared import ROOT
from support.markdown import README, Block, all_blocks, blocks_of
from support.shared_caches import APACHE_MODULES, apache, nginx, scratch_directory, stop
from support.sockets import ask
from support.tokens import KEY, token_of

pytestmark = pytest.mark.heavy


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return ask(port, "/").status == 200
    return False


def test_the_start_of_the_readme_serves_the_application(tmp_path: Path) -> None:
    """In a copy of the checkout, with nothing but a Python."""
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "session_mw", tmp_path / "session_mw", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "hello.py").write_text(blocks_of(README, "python")[0].text)
    port = services.free_port()
    (script,) = blocks_of(README, "sh")
    commands = script.text.replace(":8080", f":{port}")
    assert commands.count(str(port)) == 1
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (tmp_path / "log").open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", commands],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(shell, port, tmp_path / "log")
        first = ask(port, "/")
        assert (first.body, ask(port, "/", first.cookie).body) == (b"visit 1\n", b"visit 2\n")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(20)


def wait_for(shell: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for what pip downloads, which takes longer than a server's start."""
    for _ in range(10):
        with contextlib.suppress(pytest.fail.Exception):
            services.wait_until(lambda: shell.poll() is not None or answers(port), "no answer")
            break
    assert shell.poll() is None, log.read_text()
    assert answers(port), log.read_text()


TEXT = len(secrets.token_urlsafe(2700))


def large_cookie() -> str:
    """Nearly as much as browsers keep."""
    return token_of({"text": secrets.token_urlsafe(2700)})


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    session = environ["session"]
    session["seen"] = len(session.get("text", ""))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['HTTP_HOST']} {environ['wsgi.url_scheme']} {session['seen']}".encode()]


@pytest.mark.parametrize("block", all_blocks("nginx"), ids=str)
def test_nginx_lets_large_cookies_through_and_tells_the_host(block: Block) -> None:
    waitress_server = pytest.importorskip("waitress.server")
    trusted = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-proto x-forwarded-host"}
    server = waitress_server.create_server(SessionMiddleware(app, KEY), host=services.HOST, port=0, **trusted)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    location = re.sub(r"127\.0\.0\.1:8080", f"{services.HOST}:{server.effective_port}", block.text)
    proxy = nginx(location)
    try:
        cookie = f"session={large_cookie()}"
        assert len(cookie) > 3600
        reply = ask(proxy.port, "/", cookie)
        assert (reply.status, reply.body.decode()) == (200, f"{services.HOST}:{proxy.port} http {TEXT}")
        assert len(reply.cookie) > 3600
    finally:
        stop(proxy)
        server.close()
        thread.join(10)


WSGI_FILE = """
import os

from session_mw import SessionMiddleware

def app(environ, start_response):
    session = environ["session"]
    session["visits"] = session.get("visits", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"visit %d" % session["visits"]]

application = SessionMiddleware(app, {key!r}, store="sqlite:///{folder}/cache/sessions.db")
"""


@pytest.mark.parametrize("block", all_blocks("apacheconf"), ids=str)
def test_apache_serves_an_application_by_mod_wsgi(block: Block) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not (APACHE_MODULES / "mod_wsgi.so").is_file():
        services.missing("mod_wsgi (Debian: libapache2-mod-wsgi-py3)")
    if not (APACHE_MODULES / f"mod_wsgi.so-{version}").is_file():
        pytest.skip(f"mod_wsgi is made for another Python than {version}")
    folder = scratch_directory()
    (folder / "wsgi.py").write_text(WSGI_FILE.format(key=KEY, folder=folder))
    # Apache's processes are nobody's, who may not enter the folders of whoever runs the tests.
    for name in ("session_mw", "itsdangerous", "msgspec", "webob"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / "packages" / name)
    settings = block.text.replace("/srv/shop/wsgi.py", f"{folder}/wsgi.py")
    settings = settings.replace("python-home=/srv/shop/venv", f"python-path={folder}/packages")
    assert settings.count(str(folder)) == 2
    wsgi = f"WSGISocketPrefix {folder}/wsgi\n{settings}\n<Directory {folder}>\nRequire all granted\n</Directory>"
    server = apache(["mpm_event", "authz_core", "wsgi"], wsgi, folder)
    try:
        first = ask(server.port, "/")
        assert first.status == 200, (folder / "errors").read_text()
        assert (first.body, ask(server.port, "/", first.cookie).body) == (b"visit 1", b"visit 2")
    finally:
        stop(server)
