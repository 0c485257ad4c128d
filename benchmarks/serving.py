"""Serves one contender under waitress: ``python benchmarks/serving.py NAME SCENARIO PORT``."""

from __future__ import annotations

import logging
import sys

import waitress

from contenders import BARE, FLOOR, OURS
from flask_format import FLASK
from peers import BEAKER, STARLETTE
from scenarios import KEY, READ, UNTOUCHED, WRITE, App, Environ, StartResponse

CONTENDERS = {one.name: one for one in (BARE, FLOOR, OURS, FLASK, STARLETTE, BEAKER)}
SCENARIOS = {scenario.name: scenario for scenario in (UNTOUCHED, READ, WRITE)}


def main() -> None:
    """Serve until killed."""
    name, scenario, port = sys.argv[1:]
    app = CONTENDERS[name].build(SCENARIOS[scenario], KEY)
    if name == STARLETTE.name:
        app = _as_wsgi(app)
    # waitress warns whenever requests wait for a thread, which is what a load is for.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    waitress.serve(app, host="127.0.0.1", port=int(port))


def _as_wsgi(app: App) -> App:
    """Let an ASGI shell, whose headers are bytes, run under a WSGI server."""

    def serve(environ: Environ, start_response: StartResponse) -> object:
        def start(status: str, headers: list[tuple[bytes, bytes]]) -> None:
            start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])

        return app(environ, start)

    return serve  # type: ignore[return-value]


if __name__ == "__main__":
    main()
