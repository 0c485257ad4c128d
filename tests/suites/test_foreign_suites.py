"""The tests of Flask and of Flask-Login, from their source distributions, run on our sessions."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from support import services

pytestmark = pytest.mark.heavy

PLUGIN = """
import warnings

import _pytest.monkeypatch

with warnings.catch_warnings():
    # What our dependencies say at their import is not what these suites are strict about.
    warnings.simplefilter("ignore")
    import flask

    from session_mw.adapters.flask import FlaskSessions

# Flask 3.1's conftest.py takes it from pytest 8.
if not hasattr(_pytest.monkeypatch, "notset"):
    _pytest.monkeypatch.notset = _pytest.monkeypatch.NOTSET



class OurSessions:
    # An attribute of the class, so that tests which bring an interface of their own still do.
    def __get__(self, app, owner=None):
        return app.__dict__.setdefault("session_interface", FlaskSessions())


flask.Flask.session_interface = OurSessions()
"""

# Ours, about keys; and Flask-Login's own, since Python 3.12.
QUIET = ["-W", "ignore::UserWarning", "-W", "ignore:datetime.datetime.utcnow:DeprecationWarning"]

# What is left out, and why.
LEFT_OUT = {
    "test_session_using_session_settings": "pops a missing key with a default, which here is no writing",
    "test_max_cookie_size": "counts warnings; the suite's key, of eight letters, earns one more",
    "test_bad_environ_raises_bad_request": "fails with Flask's own sessions too (Werkzeug 3.1)",
}


@pytest.mark.parametrize(("package", "at_least"), [("flask", 400), ("flask-login", 100)])
def test_the_suite_passes(package: str, at_least: int, tmp_path: Path) -> None:
    pytest.importorskip(package.replace("-", "_"))
    suite = source_of(package, tmp_path)
    (tmp_path / "use_our_sessions.py").write_text(PLUGIN)
    chosen = ["-k", " and ".join(f"not {name}" for name in LEFT_OUT), "tests"]
    argv = [*pytest_in(tmp_path), *QUIET, "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(argv, cwd=suite, capture_output=True, text=True, timeout=300)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert passed is not None
    assert int(passed[1]) >= at_least


def pytest_in(plugins: Path) -> list[str]:
    start = f"import sys; sys.path.insert(0, {str(plugins)!r}); import pytest; sys.exit(pytest.console_main())"
    return [sys.executable, "-c", start, "-q", "-p", "use_our_sessions"]


def source_of(package: str, directory: Path) -> Path:
    """Unpack the source distribution of the version that is installed."""
    wanted = f"{package}=={version(package)}"
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(directory)]
    if subprocess.run([*argv, wanted], capture_output=True, timeout=300).returncode:
        services.missing(f"the source distribution of {wanted}")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    (suite,) = (found.parent for found in directory.glob("*/tests"))
    return suite
