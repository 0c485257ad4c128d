"""A page of HTML, read by the standard library's parser, which has to find it well-formed."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "hr", "img", "link"}


@dataclass
class Tag:
    """An element.

    Attributes:
        text: All the text in it.
    """

    name: str
    attributes: dict[str, str | None]
    text: str = ""
    children: list[Tag] = field(default_factory=list, repr=False)

    def all(self, name: str) -> list[Tag]:
        """The elements of a name in it, at any depth."""
        return [found for child in self.children for found in ([child] * (child.name == name) + child.all(name))]

    @property
    def rows(self) -> list[list[str]]:
        """The texts of a table's cells, without its head."""
        body = self.all("tbody")[0]
        return [[" ".join(cell.text.split()) for cell in row.children] for row in body.all("tr")]


class Page(HTMLParser):
    """A whole page.

    Raises:
        AssertionError: An element is not closed, an attribute stands twice, or an id does.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[Tag] = []
        self.declarations: list[str] = []
        self._open: list[Tag] = []
        self.feed(body.decode("utf-8"))
        self.close()
        assert self._open == []
        assert self.declarations == ["doctype html"]
        ids = [tag.attributes["id"] for tag in self.tags if "id" in tag.attributes]
        assert len(set(ids)) == len(ids)

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        made = Tag(tag, dict(attrs))
        self.tags.append(made)
        if self._open:
            self._open[-1].children.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.text += data

    def all(self, name: str) -> list[Tag]:
        """The elements of a name."""
        return [tag for tag in self.tags if tag.name == name]

    def by_id(self, name: str) -> Tag:
        (found,) = (tag for tag in self.tags if tag.attributes.get("id") == name)
        return found

    def section(self, name: str) -> Tag:
        """The section whose heading has the id."""
        (found,) = (tag for tag in self.all("section") if tag.attributes.get("aria-labelledby") == name)
        return found

    def table(self, name: str) -> list[list[str]]:
        """The rows of the first table in such a section."""
        return self.section(name).all("table")[0].rows

    def facts(self, name: str) -> dict[str, str]:
        """The rows of such a table, the second cell by the first."""
        return {row[0]: row[1] for row in self.table(name)}

    @property
    def text(self) -> str:
        """All the text that is shown, its white space as single blanks."""
        return " ".join(self.all("body")[0].text.split())
