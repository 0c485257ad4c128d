"""Sign the data of tests/support/golden.py with the Flask that is installed, and keep the tokens in flask_cookies.json.

Run it once for each release, in a virtual environment of its own:

    python -m venv /tmp/flask11
    /tmp/flask11/bin/pip install Flask==1.1.4 Werkzeug==1.0.1 itsdangerous==1.1.0 Jinja2==2.11.3 MarkupSafe==1.1.1
    /tmp/flask11/bin/python tests/formats/data/make_flask_cookies.py

The tokens of the other releases stay as they are. The pins of the others: Flask 2.0.3 with Werkzeug 2.0.3,
itsdangerous 2.0.1, Jinja2 3.0.3; 2.3.3 with 2.3.8, 2.1.2; 3.0.3 with 3.0.6, 2.2.0; 3.1.3 with 3.1.9, 2.2.0.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import flask
import itsdangerous

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from support.golden import GOLDENS, KEY, SIGNED_AT  # noqa: E402

OUTPUT = HERE / "flask_cookies.json"


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("Flask", "Werkzeug", "itsdangerous")}


def tokens() -> dict[str, str]:
    """One token for each kind of data; a kind that this release cannot write is left out."""
    app = flask.Flask("golden")
    app.secret_key = KEY
    made = {}
    with app.test_request_context():
        serializer = app.session_interface.get_signing_serializer(app)
        for name, golden in GOLDENS.items():
            try:
                made[name] = serializer.dumps(golden.given)
            except TypeError as error:
                print(f"Flask {versions()['Flask']} cannot write {name!r}: {error}")
    return made


def main() -> None:
    time.time = lambda: float(SIGNED_AT)
    # itsdangerous 1.1 measures from a datetime in some releases; a wrong clock must not slip in.
    signer = itsdangerous.URLSafeTimedSerializer(KEY).dumps({})
    if not signer.startswith("e30.ZVPxAA."):
        raise SystemExit("this itsdangerous does not take its time from time.time()")
    releases = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    releases[versions()["Flask"]] = {"made with": versions(), "tokens": tokens()}
    OUTPUT.write_text(json.dumps(dict(sorted(releases.items())), indent=1) + "\n")


main()
