"""The demo's command line. What cannot work is told in one line."""

from __future__ import annotations

import argparse
import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from examples.demo import tls
from examples.demo.pages import no_flask
from examples.demo.routing import App
from session_mw import ConfigurationError, SessionManager
from session_mw.secret_keys import generate


def run(wrap: Callable[[SessionManager, App], App], description: str) -> None:
    """Read the options, and serve what ``wrap`` makes of a manager and the application at ``/flask``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; the inspector answers this machine only")
    parser.add_argument("--port", type=_port, default=8080)
    parser.add_argument("--store", metavar="URL", help="keep sessions on the server: sqlite:///sessions.db")
    parser.add_argument(
        "--revocations", metavar="URL", help="keep sessions in cookies, and here which have ended: sqlite:///ended.db"
    )
    parser.add_argument("--encrypt", action="store_true", help="encrypt the cookie, or what the store holds")
    parser.add_argument(
        "--tls", metavar="FILE", help="serve https: a PEM file with a private key and its certificate for localhost"
    )
    parser.add_argument(
        "--device-bound", action="store_true", help="bind sessions to the device, in Chrome and Edge; with --tls"
    )
    parser.add_argument("--flask", action="store_true", help="mount a Flask application beside, on the same session")
    options = parser.parse_args()
    if options.device_bound and not options.tls:
        parser.exit(2, f"{parser.prog}: error: browsers bind sessions over https only: --device-bound --tls FILE\n")
    secret_key = os.environ.get("SECRET_KEY")
    if not secret_key:
        print("SECRET_KEY is not set: using a random key, so cookie sessions end with this process.", flush=True)
    try:
        with _without_warnings():
            app = wrap(_manager(secret_key or generate(), options), _flask() if options.flask else no_flask)
        logging.basicConfig(level=logging.INFO)
        _serve(app, options.host, options.port, options.tls)
    except (ConfigurationError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The inspectors warn that they are for development only. So is the demo, whose first line says what is wrong."""
    logger = logging.getLogger("session_mw")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _manager(secret_key: str, options: argparse.Namespace) -> SessionManager:
    return SessionManager(
        secret_key,
        store=options.store,
        revocations=options.revocations,
        encrypt=options.encrypt and options.store is None,
        store_encryption=options.encrypt and options.store is not None,
        device_bound=options.device_bound,
    )


def _flask() -> App:
    try:
        import_module("flask")
    except ImportError:
        raise ConfigurationError("--flask needs Flask; python -m pip install -e '.[flask]'") from None
    app: App = import_module("examples.demo.flask_room").room()
    return app


def _serve(app: App, host: str, port: int, pem: str | None) -> None:
    try:
        waitress = import_module("waitress")
    except ImportError:
        raise ConfigurationError("waitress is missing; python -m pip install -e '.[demo]'") from None
    try:
        if pem is None:
            waitress.serve(app, host=host, port=port)
        else:
            tls.serve(app, host, port, pem)
    except ConfigurationError:
        raise
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigurationError(f"nothing can listen at {host}, port {port}: {error.strerror}") from error
        raise ConfigurationError(f"port {port} is taken; choose another one: --port {port + 1}") from error
    except ValueError as error:
        # waitress says no more of a host that has no address.
        raise ConfigurationError(f"nothing can listen at {host}: {error}") from error


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number up to 65535; {text} is not")
    return port
