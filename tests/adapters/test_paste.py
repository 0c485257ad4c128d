"""The filter in an .ini file, loaded by PasteDeploy and served by pserve."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from session_mw import ConfigurationError
from session_mw.adapters.paste import filter_app_factory
from support import served
from support.served import KEY, app_factory
from support.services import HOST, Service, free_port, scratch
from support.sockets import ask

BY_NAME = "use = egg:session_mw"
BY_CALL = "paste.filter_app_factory = session_mw.adapters.paste:filter_app_factory"

INI = """
[DEFAULT]
lifetime_of_others = 1

[app:main]
paste.app_factory = support.served:app_factory
environ_key = {environ_key}
filter-with = session

[filter:session]
{use}
{settings}

[server:main]
use = egg:waitress#main
listen = {host}:{port}
"""


def ini(directory: Path, settings: str, *, use: str = BY_CALL, environ_key: str = "session", port: int = 0) -> Path:
    file = directory / "app.ini"
    file.write_text(INI.format(use=use, settings=settings, environ_key=environ_key, host=HOST, port=port))
    return file


def load(file: Path) -> Any:
    deploy = pytest.importorskip("paste.deploy")
    webtest = pytest.importorskip("webtest")
    return webtest.TestApp(deploy.loadapp(f"config:{file}"))


def is_installed() -> bool:
    try:
        return any(point.group == "paste.filter_app_factory" for point in distribution("session_mw").entry_points)
    except PackageNotFoundError:
        return False


def test_the_filter_keeps_the_session(tmp_path: Path) -> None:
    app = load(ini(tmp_path, f"secret_key = {KEY}"))
    assert [app.get("/").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.skipif(not is_installed(), reason="the package is not installed, so it has no entry points")
def test_the_filter_is_found_by_the_packages_name(tmp_path: Path) -> None:
    app = load(ini(tmp_path, f"secret_key = {KEY}", use=BY_NAME))
    assert [app.get("/").text for _ in range(2)] == ["1", "2"]


def test_texts_are_read_as_what_they_mean(tmp_path: Path) -> None:
    settings = (
        f"secret_key = {KEY}\nsecret_key_fallbacks = older-key-1234567890  oldest-key-123456789\n"
        "lifetime = 30 days\ncookie_secure = true\ncookie_httponly = no\ncookie_samesite = strict\ncookie_path = /shop"
    )
    file = ini(tmp_path, settings)
    manager = load(file).app.sessions
    assert manager.settings.lifetime == 30 * 86400
    assert list(manager.settings.secret_key_fallbacks) == ["older-key-1234567890", "oldest-key-123456789"]
    cookie = load(file).get("/").headers["Set-Cookie"]
    assert cookie.endswith("; Path=/shop; Secure; SameSite=Strict")


def test_a_store_is_named_by_its_url(tmp_path: Path) -> None:
    app = load(ini(tmp_path, f"store = sqlite:///{tmp_path}/sessions.db"))
    assert [app.get("/").text for _ in range(2)] == ["1", "2"]
    app.app.sessions.close()
    assert (tmp_path / "sessions.db").exists()


def test_the_place_of_the_file_can_be_named(tmp_path: Path) -> None:
    app = load(ini(tmp_path, "store = file://%(here)s/sessions"))
    assert [app.get("/").text for _ in range(2)] == ["1", "2"]
    assert (tmp_path / "sessions").is_dir()


def test_the_environ_key_is_a_setting(tmp_path: Path) -> None:
    app = load(ini(tmp_path, f"secret_key = {KEY}\nenviron_key = app.session", environ_key="app.session"))
    assert app.get("/").text == "1"


def test_a_wrong_name_or_value_is_an_error_when_the_file_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="secret_key"):
        load(ini(tmp_path, "secretkey = x"))
    with pytest.raises(ConfigurationError, match="lifetime"):
        load(ini(tmp_path, f"secret_key = {KEY}\nlifetime = a while"))


def test_the_defaults_section_is_not_ours() -> None:
    made = filter_app_factory(app_factory({}), {"secret_key": KEY, "debug": "true"})
    assert made.sessions.settings.secret_key is None


@pytest.mark.heavy
def test_pserve_serves_it() -> None:
    pytest.importorskip("pyramid")
    pytest.importorskip("paste.deploy")
    pytest.importorskip("waitress")
    directory, port = scratch(), free_port()
    shutil.copytree(Path(served.__file__).parent, directory / "support")
    use = BY_NAME if is_installed() else BY_CALL
    file = ini(directory, f"secret_key = {KEY}\nlifetime = 30 days", use=use, port=port)
    argv = [sys.executable, "-m", "pyramid.scripts.pserve", str(file)]
    server = Service("http", port, argv, lambda port: ask(port, "/").status == 200, directory)
    try:
        first = ask(port, "/")
        assert first.body == b"1"
        assert ask(port, "/", first.cookie).body == b"2"
    finally:
        server.stop()
