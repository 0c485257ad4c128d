"""The site that `tox -e docs` has just built: what Sphinx itself does not check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.declared import ROOT
from support.markdown import DOCS, text_of

if "SESSION_MW_SITE" not in os.environ:
    pytest.skip("tox -e docs builds the site and runs these", allow_module_level=True)

SITE = Path(os.environ["SESSION_MW_SITE"])
PAGES = sorted([*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")])
SOURCES = {"script": "src", "img": "src", "iframe": "src", "video": "src", "source": "src", "link": "href"}


class Loaded(HTMLParser):
    """What a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(SOURCES.get(tag, ""))
        if address:
            self.addresses.append(address)


def built(page: Path) -> str:
    return (SITE / page.relative_to(DOCS).with_suffix(".html")).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_loads_nothing_from_another_host_and_everything_that_it_names(page: Path) -> None:
    loaded = Loaded()
    loaded.feed(built(page))
    here = SITE / page.relative_to(DOCS).parent
    missing = [found for found in loaded.addresses if not (here / found.partition("?")[0].partition("#")[0]).exists()]
    assert loaded.addresses
    assert missing == []


def test_no_stylesheet_loads_anything_from_another_host() -> None:
    styles = list(SITE.rglob("*.css"))
    assert styles
    assert [
        path.name for path in styles if re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", path.read_text())
    ] == []


def test_the_first_page_is_the_readme() -> None:
    assert "<h1>session_mw" in built(DOCS / "index.md")
    titles = re.findall(r"^## (.*)$", text_of(ROOT / "README.md"), re.M)
    assert re.findall(r"<h2>([^<]+)<", built(DOCS / "index.md")) == titles


def test_the_changelog_is_whole() -> None:
    assert "<h3>Security" in built(DOCS / "changelog.md")


@pytest.mark.parametrize(
    ("page", "name", "linked"),
    [
        ("api/sessions", "session_mw.SessionMiddleware", "stores.html"),
        ("api/stores", "session_mw.protocols.Store.update", "sessions.html"),
        ("api/errors", "session_mw.CookieTooLarge", "https://docs.python.org/3/library/exceptions.html#ValueError"),
        ("api/login", "session_mw.login.LoginMiddleware", "https://docs.python.org/3/library/datetime.html"),
    ],
)
def test_a_name_has_an_address_and_its_types_are_links(page: str, name: str, linked: str) -> None:
    html = built(DOCS / f"{page}.rst")
    assert f'id="{name}"' in html
    assert f'href="{linked}' in html


def test_a_cell_of_a_wide_table_says_on_a_phone_what_stands_above_it() -> None:
    row = built(DOCS / "settings.md").partition("cookie_samesite</span>")[2].partition("</tr>")[0]
    assert re.findall('data-label="([^"]*)"', row) == ["default", "meaning", "in Flask"]
    without = built(DOCS / "settings.md").partition(">leeway</span>")[2].partition("</tr>")[0]
    assert re.findall('data-label="([^"]*)"', without) == ["default", "meaning"]


def test_charts_depend_on_the_record_alone(tmp_path: Path) -> None:
    record = json.loads((ROOT / "benchmarks" / "recorded.json").read_text())
    draw = "import json, pathlib, sys, charts; charts.draw_all(json.load(sys.stdin), pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", draw, str(tmp_path)]
    subprocess.run(command, cwd=ROOT / "benchmarks", input=json.dumps(record["parts"]), text=True, check=True)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert drawn.keys() == {"benchmarks-growth.svg", "benchmarks-in-process.svg", "benchmarks.svg"}
    # the build has drawn them a moment ago
    assert drawn == {name: (DOCS / name).read_text() for name in drawn}
    assert "prefers-color-scheme: dark" in drawn["benchmarks.svg"]
    assert f">{record['parts']['in_process']['read 100 B']['session_mw']:.1f}<" in drawn["benchmarks.svg"]
