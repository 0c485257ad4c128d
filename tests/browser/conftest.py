"""A browser, and sites on loopback for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.axe import Axe, fetched_source
from support.services import missing
from support.webdriver import Browser


@pytest.fixture(scope="session")
def shared_browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(shared_browser: Browser) -> Browser:
    """Chromium without a cookie, on a wide screen."""
    shared_browser.forget_cookies()
    shared_browser.show(1280)
    return shared_browser


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> Axe:
    """Finds what keeps people out of a page; from npm, kept in pytest's cache."""
    return Axe(fetched_source(Path(pytestconfig.cache.mkdir("axe-core"))))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        from support.tls_server import make_certificate
    except ImportError:
        missing("cryptography (PyPI)")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serve(certificate: Path) -> Iterator[Callable[..., str]]:
    """Serves an application over https under a name below ``.test``; the site's address."""
    from support.tls_server import https

    with ExitStack() as running:

        def start(app: Any, host: str = "www.shop.test") -> str:
            return f"https://{host}:{running.enter_context(https(app, certificate))}"

        yield start
