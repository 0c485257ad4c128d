"""HTML as a tree of elements, and texts that show what they hold.

Nothing is put together as text: the standard library writes the tree, and escapes every text and attribute in it.
"""

from __future__ import annotations

from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Child: TypeAlias = "Element | str | None"

MOST_SHOWN = 240
"""Characters of one text that are shown."""


def element(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Element:
    """Make an element.

    Args:
        name: The element's name.
        children: What is in it: elements, and texts that are escaped; None is left out.
        attributes: By their names, with an underscore for a hyphen and perhaps one at the end (``class_``,
            ``aria_label``). None and False leave an attribute out; True gives it without a value.
    """
    made = Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            made.set(key.rstrip("_").replace("_", "-"), "" if value is True else str(value))
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child and last is None:
            made.text = (made.text or "") + child
        elif child and last is not None:
            last.tail = (last.tail or "") + child
    return made


def document(root: Element) -> str:
    """The text of a whole page."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def shown(text: str, most: int = MOST_SHOWN) -> str:
    r"""A text in which every character can be seen.

    Control characters, those that turn the direction of writing (``U+202E``), those without a width and lone
    surrogates become escapes, as Python writes them: ``\n``, ``\u202e``. So no text looks like another one, and
    none steers what stands beside it.

    Args:
        most: Characters after which the rest is only counted.
    """
    cut = text[:most]
    if not cut.isprintable():
        cut = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)
    return cut if len(text) <= most else f"{cut}… and {plural(len(text) - most, 'more character')}"


def quoted(text: str, most: int = MOST_SHOWN) -> str:
    r"""The same as a string literal, in which a backslash and a quote of the text itself can be told apart."""
    cut = shown(text[:most].replace("\\", "\\\\").replace('"', '\\"'), 2 * most)
    return f'"{cut}"' if len(text) <= most else f'"{cut}…" and {plural(len(text) - most, "more character")}'


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 key``, ``2 keys``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
