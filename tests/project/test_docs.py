"""What docs/ shows works: the Python of each page is run, from its first line to its last."""

from __future__ import annotations

import logging
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_mw import SessionMiddleware
from support.django_project import configure_django
from support.tokens import KEY

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IMPORT = re.compile(r"^\s*(?:from|import) ([a-z0-9_]+)", re.MULTILINE)


def code_of(page: Path) -> str:
    """The page's Python, each line at its own number, so that a traceback points into the page."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * len(text.splitlines())
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


# What the lines of a page leave to the reader's own program.
GIVEN: dict[str, dict[str, Any]] = {
    "key-rotation.md": {
        "SessionMiddleware": SessionMiddleware,
        "app": lambda environ, start_response: [],
        "OLD": "an-old-key-of-32-characters-0000",
        "NEW": "a-new-key-of-33-characters-000000",
    }
}
PAGES = [page for page in sorted(DOCS.glob("*.md")) if code_of(page).strip()]


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    yield
    logging.getLogger("session_mw").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_logging_as_before")
# Flask-Login 0.6.3, when it sets its remember cookie
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = code_of(page)
    packages = dict.fromkeys(_IMPORT.findall(code))
    for package in packages:
        pytest.importorskip(package)
    if "django" in packages:
        configure_django()
    monkeypatch.setenv("SECRET_KEY", KEY)
    # Pages that open a store in a file name it without a directory.
    monkeypatch.chdir(tmp_path)
    # Flask and Pyramid look for the module that calls them.
    module = types.ModuleType("session_mw_docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(GIVEN.get(page.name, {}))
    exec(compile(code, str(page), "exec"), vars(module))


@pytest.mark.parametrize("name", ["bottle", "flask", "other-frameworks", "paste", "pyramid"])
def test_each_framework_has_a_page_of_a_screenful(name: str) -> None:
    page = DOCS / f"{name}.md"
    assert page in PAGES
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 85


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
