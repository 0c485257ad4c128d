"""Where the stores are, until each describes itself."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from session_mw.config import BOOLEANS
from session_mw.exceptions import ConfigurationError
from session_mw.protocols import Location
from session_mw.stores.options import scheme_of, without_password

_VERIFIED = ("verify-full", "verify-ca", "verify_identity", "verify_ca")
_REFUSES_PLAIN = ("require", "required", *_VERIFIED)


def in_url(url: str) -> Location:
    """The place that a URL names."""
    scheme, shown = scheme_of(url), without_password(url)
    server = scheme.partition("+")[0]
    head, _, query = url.partition("://")[2].partition("?")
    netloc, slash, path = head.partition("/")
    user, _, listed = netloc.rpartition("@")
    options = dict(parse_qsl(query.lower(), keep_blank_values=True))
    hosts = tuple(_host(part) for part in listed.split(",") if part) or ("localhost",)
    if server == "memory":
        return Location(server, shown)
    if server in ("file", "sqlite"):
        if path.startswith("file:"):
            return Location("sql", shown)
        return Location(server, shown, os.path.abspath(unquote(slash + path) if server == "file" else path))
    password = ":" in user or user == "***" or not options.keys().isdisjoint(("password", "passwd"))
    if server in ("redis", "rediss", "valkey", "valkeys"):
        checks = BOOLEANS.get(options.get("ssl_check_hostname", "true"), False)
        verified = checks and options.get("ssl_cert_reqs") != "none"
        return Location("redis", shown, "", hosts, server in ("rediss", "valkeys"), verified, password)
    return Location("sql", shown, "", _hosts_of_sql(query) or hosts, *_tls_of_sql(options), password)


def refuse_missing(url: str, create: bool) -> None:
    """Refuse a path where there is nothing."""
    if not create and (path := in_url(url).path) and not os.path.exists(path):
        raise ConfigurationError(f"there is no {path!r}")


def _host(text: str) -> str:
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _hosts_of_sql(query: str) -> tuple[str, ...]:
    named = [host for name, value in parse_qsl(query) if name == "host" for host in value.split(",") if host]
    return tuple("localhost" if host.startswith("/") else _host(host) for host in named)


def _tls_of_sql(options: Mapping[str, str]) -> tuple[bool, bool]:
    mode = options.get("sslmode") or options.get("ssl_mode") or ""
    authority = "ssl_ca" in options
    return mode in _REFUSES_PLAIN or authority, mode in _VERIFIED or authority


def of_redis(store: Any) -> Location:
    """The place of a Redis store."""
    if "://" in store._shown:
        return in_url(store._shown)
    client = store._server._client
    if client is None:
        return Location("other", repr(store))
    pool = getattr(client, "connection_pool", None)
    arguments = dict(getattr(pool, "connection_kwargs", {}))
    nodes = getattr(getattr(client, "nodes_manager", None), "startup_nodes", {})
    hosts = tuple(node.host for node in nodes.values()) or (str(arguments.get("host", "localhost")),)
    tls = bool(arguments.get("ssl")) or "SSL" in getattr(getattr(pool, "connection_class", None), "__name__", "")
    trusts_all = arguments.get("ssl_cert_reqs", "required") in ("none", None, ssl.CERT_NONE)
    verified = not trusts_all and bool(arguments.get("ssl_check_hostname", True))
    return Location("redis", repr(store), "", hosts, tls, verified, bool(arguments.get("password")))
