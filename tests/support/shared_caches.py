"""Apache and nginx on loopback: as caches that answer several visitors, and with settings of a test's own."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from support.services import HOST, Service, free_port, missing, scratch

APACHE_MODULES = Path("/usr/lib/apache2/modules")
"""Debian's."""


def start_apache(behind: int, provider: str) -> Service:
    """Start an Apache with mod_cache and its defaults.

    Args:
        behind: The port that it forwards to.
        provider: ``disk`` or ``socache``.
    """
    _binary("apache2", "Debian: apache2")
    modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "cache", f"cache_{provider}"]
    storage = "CacheRoot cache"
    if provider == "socache":
        modules, storage = [*modules, "socache_shmcb"], "CacheSocache shmcb:cache/socache(512000)"
    if not all((APACHE_MODULES / f"mod_{name}.so").is_file() for name in modules):
        missing(f"Apache's mod_cache_{provider} (Debian: apache2-bin)")
    return apache(
        modules,
        f"""
        {storage}
        CacheEnable {provider} /
        ProxyPass / http://{HOST}:{behind}/
    """,
    )


def apache(modules: list[str], settings: str, directory: Path | None = None) -> Service:
    """Start an Apache.

    Args:
        modules: The names of those that it loads.
        settings: What stands behind its own.
        directory: The one that it has for itself; None: a new one.
    """
    directory, port = directory or scratch_directory(), free_port()
    loads = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules]
    own = f"""
        Listen {HOST}:{port}
        ServerRoot {directory}
        ServerName localhost
        User nobody
        Group nogroup
        PidFile pid
        ErrorLog errors
        DefaultRuntimeDir .
    """
    (directory / "settings").write_text("\n".join([*loads, own, settings]))
    argv = [_binary("apache2", "Debian: apache2"), "-f", str(directory / "settings"), "-D", "FOREGROUND"]
    return Service("http", port, argv, _accepts, directory)


def start_nginx(behind: int, *also: str) -> Service:
    """Start an nginx with proxy_cache and its defaults.

    Args:
        behind: The port that it forwards to.
        also: Further directives.
    """
    cache = f"proxy_cache pages; {' '.join(also)}"
    return nginx(
        f"location / {{ proxy_pass http://{HOST}:{behind}; {cache} }}", "proxy_cache_path cache keys_zone=pages:1m;"
    )


def nginx(locations: str, http: str = "") -> Service:
    """Start an nginx.

    Args:
        locations: What stands in its ``server``.
        http: What stands around that.
    """
    binary = _binary("nginx", "Debian: nginx")
    directory, port = scratch_directory(), free_port()
    user = "user nobody nogroup;" if os.geteuid() == 0 else ""
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "settings").write_text(f"""
        {user}
        daemon off;
        worker_processes 1;
        pid {directory}/pid;
        error_log {directory}/errors;
        events {{ }}
        http {{
            access_log off;
            {temporary}
            {http}
            server {{
                listen {HOST}:{port};
                {locations}
            }}
        }}
    """)
    argv = [binary, "-p", str(directory), "-c", str(directory / "settings"), "-e", str(directory / "errors")]
    return Service("http", port, argv, _accepts, directory)


def stop(service: Service) -> None:
    """End a server that has worker processes, which it ends itself."""
    service.process.terminate()
    service.process.wait(20)
    service.stop()


def _binary(name: str, package: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or missing(f"{name} ({package})")


def scratch_directory() -> Path:
    """A directory that the servers' worker processes can read, with one in it to which they can write, ``cache``."""
    directory = scratch()
    (directory / "cache").mkdir()
    if os.geteuid() == 0:
        # The workers are another user's, who has to get in and to write.
        directory.chmod(0o755)
        shutil.chown(directory / "cache", "nobody", "nogroup")
    return directory


def _accepts(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=5):
        return True
