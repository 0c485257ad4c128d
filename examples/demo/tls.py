"""https for the demo, since waitress leaves it to a server in front."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from importlib import import_module

from examples.demo.routing import App
from session_mw import ConfigurationError

_IDLE = 60.0
"""Seconds after which a connection on which nothing comes is closed."""


def serve(app: App, host: str, port: int, pem: str) -> None:
    """Serve an application over https, with waitress behind, which listens on this machine only.

    Args:
        app: The application.
        host: Where to listen. It has to be this machine: to the application all requests come from it.
        port: The same.
        pem: The path of a file with a private key and its certificate.

    Raises:
        ConfigurationError: The file or the host cannot be used.
        OSError: Nothing can listen there.
    """
    if host not in ("127.0.0.1", "localhost"):
        raise ConfigurationError(f"--tls serves this machine only: --host 127.0.0.1, not {host}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(pem)
    except OSError as error:
        raise ConfigurationError(
            f"--tls wants a PEM file with a private key and its certificate; {pem}: {error.strerror or error}"
        ) from error
    with socket.create_server((host, port)) as front:
        behind = import_module("waitress").create_server(app, host="127.0.0.1", port=0, url_scheme="https")
        address = ("127.0.0.1", behind.effective_port)
        threading.Thread(target=_accept, args=(front, context, address), daemon=True).start()
        print(f"Serving on https://localhost:{port}", flush=True)
        behind.run()


def _accept(front: socket.socket, context: ssl.SSLContext, address: tuple[str, int]) -> None:
    while True:
        connection, _ = front.accept()
        threading.Thread(target=_relay, args=(connection, context, address), daemon=True).start()


def _relay(connection: socket.socket, context: ssl.SSLContext, address: tuple[str, int]) -> None:
    """Pass on what comes from either side, until one closes. A connection that breaks is nobody's error."""
    with contextlib.suppress(OSError), connection:
        connection.settimeout(_IDLE)
        with context.wrap_socket(connection, server_side=True) as browser, socket.create_connection(address) as server:
            other = {browser: server, server: browser}
            while True:
                # What is decrypted already, select() does not see.
                ready = [browser] if browser.pending() else select.select([*other], [], [], _IDLE)[0]
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)
                if not ready:
                    return
