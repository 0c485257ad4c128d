"""How the pages become a site: ``tox -e docs``, or ``sphinx-build -n -W docs build/docs``."""

from __future__ import annotations

import html
import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs" / "_site")]

from docstrings import read_docstring  # noqa: E402 - it is found by the line above
from python_links import address_of  # noqa: E402

from session_mw import __version__  # noqa: E402

project = "session_mw"
author = project_copyright = "The session_mw authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
# The pages are plain Markdown first, for readers on a code host; no extension of MyST's syntax is on.
myst_heading_anchors = 3

# API pages
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
nitpicky = True

# Theme
html_theme = "furo"
html_title = "session_mw"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "_static/logo.svg"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
# Furo's own style for light pages has enough contrast (WCAG 2.2, 1.4.3); its one for dark pages underlines names.
pygments_dark_style = "github-dark"
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {
        "color-brand-primary": "#2452c9",
        "color-brand-content": "#2452c9",
        "color-brand-visited": "#2452c9",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8db0ff",
        "color-brand-content": "#8db0ff",
        "color-brand-visited": "#8db0ff",
    },
}

# Pages that are files of the project itself: on a code host a page of docs/ leads to the file, here it is the file.
WHOLE = {
    "index": "README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "vulnerabilities": "SECURITY.md",
    "releasing": "RELEASING.md",
}
PAGES = {file: f"{page}.md" for page, file in WHOLE.items()} | {"examples/README.md": "examples.md"}
SOON = ("device-bound",)
"""Pages that docs/index.md lists already, and that come with their features."""
_LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)")
_TOCTREE = re.compile(r"^```\{toctree\}\n.*?^```$", re.MULTILINE | re.DOTALL)


def read_source(app: Any, docname: str, source: list[str]) -> None:
    """Put a file of the project in the place of the page that leads to it, and let links lead to pages."""
    if docname.startswith("api/"):
        return
    folder = (ROOT / "docs" / docname).parent
    if docname in WHOLE:
        app.env.note_dependency(str(ROOT / WHOLE[docname]))
        toctrees = _TOCTREE.findall(source[0])
        folder = ROOT
        source[0] = "\n\n".join([(ROOT / WHOLE[docname]).read_text(encoding="utf-8"), *toctrees])
    elif docname == "decisions/README":
        # a list of nineteen, which the page has as a table
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n[0-9]*\n```\n"
    here = ROOT / "docs" / docname
    source[0] = _LINK.sub(lambda link: link[1] + _moved(folder, here.parent, link[2]), source[0])


def _moved(folder: Path, here: Path, target: str) -> str:
    """A link of a file in ``folder``, as a page in the folder ``here`` writes it."""
    found = (folder / target).resolve()
    name = found.relative_to(ROOT).as_posix() if found.is_relative_to(ROOT) else target
    if name in PAGES:
        found = ROOT / "docs" / PAGES[name]
    elif name == "examples":
        found = ROOT / "docs" / "examples.md"
    return os.path.relpath(found, here)


class PagesForAll(HTML5Translator):
    """Writes what Sphinx leaves out, for narrow screens and for screen readers."""

    def visit_title(self, node: nodes.Element) -> None:
        """Write the start of a title; a heading that is none of HTML's has to have its level (WAI-ARIA 1.2)."""
        start = len(self.body)
        super().visit_title(node)
        self.body[start:] = [
            text.replace('role="heading"', 'role="heading" aria-level="2"') for text in self.body[start:]
        ]

    def visit_entry(self, node: nodes.Element) -> None:
        """Write the start of a cell; in a table of three columns or more with what stands above it."""
        super().visit_entry(node)
        row = node.parent
        group = row.parent.parent
        heads = [entry.astext() for head in group if isinstance(head, nodes.thead) for entry in head[0]]
        if (
            len(heads) > 2
            and not isinstance(row.parent, nodes.thead)
            and (node.astext() or any(node.findall(nodes.image)))
        ):
            label = html.escape(heads[row.index(node)])
            self.body[-1] = self.body[-1].replace("<td", f'<td data-label="{label}"', 1)


def resolve_python(app: Any, env: Any, node: nodes.Element, content: nodes.Element) -> nodes.reference | None:
    """Link what the standard library and other packages have to their documentation."""
    address = address_of(node.get("reftarget", ""))
    return None if address is None else nodes.reference("", "", content, internal=False, refuri=address)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.set_translator("html", PagesForAll)
    app.connect("source-read", read_source)
    app.connect("missing-reference", resolve_python)
    app.connect("autodoc-process-docstring", read_docstring)
