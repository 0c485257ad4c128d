"""The inspector's page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from session_mw.manager import SessionManager

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"


def page(manager: SessionManager, environ: Mapping[str, Any]) -> str:
    """The page about a request's session cookies."""
    explanation = manager.explain(environ)
    rows = "".join(
        f"<tr><td>{escape(ascii(one.value))}<td>{escape(one.reason or 'accepted')}"
        f"<td>{escape(ascii(one.contents and one.contents.data))}"
        for one in explanation.candidates
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Session inspector</title><main><h1>Session inspector</h1><p>{explanation.kind}"
        f"<table><tr><th>cookie<th>verdict<th>data{rows}</table></main></html>"
    )
