"""What the tests of pages share."""

from __future__ import annotations

import logging
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_mw import SessionMiddleware
from support.django_project import configure_django
from support.markdown import python_of
from support.tokens import KEY

_IMPORT = re.compile(r"^\s*(?:from|import) ([A-Za-z0-9_]+)", re.MULTILINE)

# What the lines of a page leave to the reader's own program.
_GIVEN: dict[str, dict[str, Any]] = {
    "key-rotation.md": {
        "SessionMiddleware": SessionMiddleware,
        "app": lambda environ, start_response: [],
        "OLD": "an-old-key-of-32-characters-0000",
        "NEW": "a-new-key-of-33-characters-000000",
    }
}


@pytest.fixture
def run_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """Runs the Python of a page as one program, from its first line to its last; gives its names."""
    monkeypatch.setenv("SECRET_KEY", KEY)
    # Pages that open a store in a file name it without a directory, or in this one.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sessions").mkdir(mode=0o700)

    def run(page: Path) -> dict[str, Any]:
        code = python_of(page)
        packages = dict.fromkeys(_IMPORT.findall(code))
        for package in packages:
            pytest.importorskip(package)
        if "django" in packages:
            configure_django()
        # Flask and Pyramid look for the module that calls them.
        module = types.ModuleType("session_mw_docs_page")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        vars(module).update(_GIVEN.get(page.name, {}))
        exec(compile(code, str(page), "exec"), vars(module))
        return vars(module)

    yield run
    logging.getLogger("session_mw").setLevel(logging.NOTSET)
