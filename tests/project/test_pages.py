"""What the pages for those who change the package say is so."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

import session_mw.state
import session_mw.version
from support.declared import ROOT, SETUP, TOX, lines

ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DECISIONS = ROOT / "docs" / "decisions"
OWN = [ARCHITECTURE, CONTRIBUTING, ROOT / "SECURITY.md", ROOT / "RELEASING.md", *sorted(DECISIONS.glob("*.md"))]
PAGES = [*OWN, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = [ROOT, ROOT / "session_mw", *sorted(path for path in (ROOT / "session_mw").iterdir() if path.is_dir())]

_FILE = re.compile(r"(?<![\w/.-])(?:[\w-]+/)*[\w-]+\.(?:py|md|cfg|ini|json)\b")
_FOLDER = re.compile(r"(?<![\w/.-])(?:(?:session_mw|tests|docs|benchmarks)/)?[a-z_]+/(?=[`\s])")
# Written by a build, made by whoever follows the page, or of another program.
_ELSEWHERE = {"dist/", "release/"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def section(page: Path, title: str) -> str:
    return re.split(r"^## ", text_of(page).partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.M)[0]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.M)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def is_there(name: str) -> bool:
    """Whether a file or folder exists, seen from the root, the package or one of the package's folders."""
    return any((folder / name).exists() for folder in FOLDERS)


def rows(title: str) -> list[tuple[str, bool]]:
    """The files of a table in CONTRIBUTING, and whether each is a new one."""
    return [
        (name, bool(new)) for name, new in re.findall(r"^\| `([^`]+)`(, new)? \|", section(CONTRIBUTING, title), re.M)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_link_leads_to_a_page_and_a_title(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text_of(page)):
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.stem)
def test_a_file_or_folder_that_a_page_names_exists(page: Path) -> None:
    new = {
        name for title in ("A store", "A setting", "An adapter", "A codec") for name, is_new in rows(title) if is_new
    }
    text = re.sub(r"https?://\S+", "", text_of(page))
    named = {*_FILE.findall(text), *_FOLDER.findall(text)} - new - _ELSEWHERE
    assert [name for name in sorted(named) if not is_there(name) and not (page.parent / name).exists()] == []


def test_the_layers_of_the_page_are_those_that_are_checked() -> None:
    checked = lines(SETUP["importlinter:contract:layers"]["layers"])
    shown = [line.strip() for line in section(ARCHITECTURE, "Layers").splitlines() if line.startswith("    ")]
    assert shown == checked


def test_the_invariants_of_the_page_are_those_of_the_module() -> None:
    shown = re.findall(r"^\d\. .*$", text_of(ARCHITECTURE), re.M)
    written = re.findall(r"^\d\. .*$", session_mw.state.__doc__ or "", re.M)
    assert len(written) == 9
    assert [line.replace("`", "") for line in shown] == [line.replace("`", "") for line in written]


def test_the_types_of_the_page_exist() -> None:
    drawing = section(ARCHITECTURE, "Types")
    names = set(re.findall(r"\b(?:[A-Z][a-z]+)*(?:State|Backend|Session|Outcome|Dict)\b", drawing))
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "session_mw").rglob("*.py"))
    assert {"Session", "SessionState", "KeptState", "CookieState", "StoreState", "Outcome", "NullBackend"} <= names
    assert [name for name in sorted(names) if f"class {name}" not in source] == []


@pytest.mark.parametrize("title", ["A store", "A setting", "An adapter", "A codec"])
def test_of_the_files_to_touch_the_old_ones_exist_and_the_new_ones_do_not(title: str) -> None:
    listed = rows(title)
    assert len(listed) >= 6
    assert [name for name, is_new in listed if (ROOT / name).exists() is is_new] == []


def test_every_decision_is_in_the_index_under_its_title() -> None:
    index = dict(re.findall(r"^\| \[\d{3}\]\(([^)]+)\) \| (.+) \|$", text_of(DECISIONS / "README.md"), re.M))
    records = {page.name: text_of(page).splitlines()[0] for page in sorted(DECISIONS.glob("[0-9]*.md"))}
    assert {name: f"# {name[:3]}: {title}" for name, title in index.items()} == records
    assert [name[:3] for name in records] == [f"{number:03}" for number in range(1, len(records) + 1)]


@pytest.mark.parametrize("record", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_a_decision_says_when_why_what_and_what_follows(record: Path) -> None:
    text = text_of(record)
    assert re.search(r"^Accepted, 20\d\d-\d\d-\d\d", text, re.M)
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert [title for title in titles if title != "Figures"] == ["Context", "Decision", "Consequences"]


def test_the_environments_of_tox_that_the_pages_name_exist() -> None:
    named = {
        name for page in OWN for names in re.findall(r"\btox -e ([\w,]+)", text_of(page)) for name in names.split(",")
    }
    assert {"instructions", "wheel"} <= named
    assert [name for name in named if f"testenv:{name}" not in TOX] == []


def test_the_setup_installs_the_tools_that_tox_does() -> None:
    wanted = {line for name in ("lint", "typing", "layers") for line in lines(TOX[f"testenv:{name}"]["deps"])}
    tools = {line for line in wanted if re.match(r"ruff|import-linter|types-", line)}
    setup = section(CONTRIBUTING, "Set-up")
    assert [tool for tool in sorted(tools) if tool not in setup] == []


def test_the_hooks_run_what_tox_runs() -> None:
    hooks = re.findall(r"^ +entry: (.*)$", text_of(ROOT / ".pre-commit-config.yaml"), re.M)
    assert [hook.split()[0] for hook in hooks] == ["ruff", "ruff", "mypy", "lint-imports"]
    assert "repo: local" in text_of(ROOT / ".pre-commit-config.yaml")
    assert "https:" not in text_of(ROOT / ".pre-commit-config.yaml")


def test_editors_are_told_the_line_length_of_the_linter() -> None:
    editor = configparser.ConfigParser()
    editor.read_string("[top]\n" + text_of(ROOT / ".editorconfig"))
    (length,) = re.findall(r"^line-length = (\d+)$", text_of(ROOT / "pyproject.toml"), re.M)
    assert editor["*.{py,md}"]["max_line_length"] == length


def test_the_version_stands_in_one_place() -> None:
    assert SETUP["metadata"]["version"] == "attr: session_mw.version.__version__"
    version = session_mw.version.__version__
    assert [page.name for page in OWN if version in text_of(page)] == []
