"""Caches that answer several visitors, in front of a server on loopback."""

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
    binary = _binary("apache2", "Debian: apache2")
    modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "cache", f"cache_{provider}"]
    storage = "CacheRoot cache"
    if provider == "socache":
        modules, storage = [*modules, "socache_shmcb"], "CacheSocache shmcb:cache/socache(512000)"
    if not all((APACHE_MODULES / f"mod_{name}.so").is_file() for name in modules):
        missing(f"Apache's mod_cache_{provider} (Debian: apache2-bin)")
    directory, port = _directory(), free_port()
    loads = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules]
    settings = f"""
        Listen {HOST}:{port}
        ServerRoot {directory}
        ServerName localhost
        User nobody
        Group nogroup
        PidFile pid
        ErrorLog errors
        DefaultRuntimeDir .
        {storage}
        CacheEnable {provider} /
        ProxyPass / http://{HOST}:{behind}/
    """
    (directory / "settings").write_text("\n".join([*loads, settings]))
    argv = [binary, "-f", str(directory / "settings"), "-D", "FOREGROUND"]
    return Service("http", port, argv, _accepts, directory)


def start_nginx(behind: int, *also: str) -> Service:
    """Start an nginx with proxy_cache and its defaults.

    Args:
        behind: The port that it forwards to.
        also: Further directives.
    """
    binary = _binary("nginx", "Debian: nginx")
    directory, port = _directory(), free_port()
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
            proxy_cache_path {directory}/cache keys_zone=pages:1m;
            server {{
                listen {HOST}:{port};
                location / {{ proxy_pass http://{HOST}:{behind}; proxy_cache pages; {" ".join(also)} }}
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


def _directory() -> Path:
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
