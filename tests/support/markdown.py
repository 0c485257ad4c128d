"""The pages of the project: their code blocks, their tables, and what their Python makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from support.declared import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: code, or a directive of the site, whose language is in braces."""

    page: Path
    language: str
    text: str
    line: int
    """Of the page; that of the first line of the text."""

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.line}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path, language: str = "") -> list[Block]:
    """The page's blocks, from top to bottom; those of one language, where one is given."""
    text = text_of(page)
    found = [
        Block(page, match[1].partition(" ")[0], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if language in ("", block.language)]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language on all pages."""
    return [block for page in PAGES for block in blocks_of(page, language)]


def prose_of(page: Path) -> str:
    return _BLOCK.sub("", text_of(page))


def python_of(page: Path) -> str:
    """The page's Python, each line at its own number, so that a traceback points into the page."""
    lines = [""] * text_of(page).count("\n")
    for block in blocks_of(page, "python"):
        code = block.text.splitlines()
        lines[block.line - 1 : block.line - 1 + len(code)] = code
    return "\n".join(lines)


def table(page: Path, header: str) -> list[list[str]]:
    """The rows of the table whose first line begins with ``| header``, as lists of cells."""
    text = text_of(page)
    lines = text[text.index(f"| {header}") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    """What is set as code in a cell or a text."""
    return re.findall(r"`([^`]+)`", cell)
