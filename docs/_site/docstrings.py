"""How docstrings become text for the site.

They are written for readers of the code: Google's sections, and an example is a paragraph that is indented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

_CONFIG = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
_OWN_TYPE = ("attribute", "data", "property")


def read_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Called by Sphinx's autodoc for each docstring, whose lines it replaces."""
    # Napoleon takes what stands before a colon in an attribute's docstring for its type; ours have annotations.
    kind = "method" if what in _OWN_TYPE else what
    lines[:] = GoogleDocstring(list(_with_code(lines)), _CONFIG, app, kind, name, obj, options).lines()


def _with_code(lines: list[str]) -> Iterator[str]:
    """Mark each paragraph that is indented behind one that is not, other than a section's, as code."""
    before = ""
    is_code = False
    for number, line in enumerate(lines):
        if line and not line.startswith(" "):
            is_code = False
        starts = line.startswith("    ") and number > 0 and not lines[number - 1] and not before.startswith(" ")
        if starts and not is_code:
            is_code = True
            yield from (".. code-block:: ini" if line.strip().startswith("[") else ".. code-block:: python", "")
        yield line
        before = line or before
