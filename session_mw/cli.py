"""The command ``session-mw``, also ``python -m session_mw``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from session_mw.commands.audit import audit
from session_mw.commands.audit_ini import PREFIX
from session_mw.commands.audit_target import find_target
from session_mw.commands.findings import FAIL, as_table
from session_mw.commands.inspect import KEY_VARIABLE, as_text, find_tokens, inspect
from session_mw.commands.sweep import URL_VARIABLE, Bar, counted, open_existing, sweep
from session_mw.exceptions import SessionError
from session_mw.protocols import is_sweepable
from session_mw.secret_keys import generate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 where what was looked at is bad; 2 for wrong arguments; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except SessionError as error:
        print(f"session-mw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, say) has gone; Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="session-mw", description="Tools for session_mw.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keygen = commands.add_parser("keygen", help="print a new secret key")
    keygen.set_defaults(run=_keygen)
    _add_inspect(commands.add_parser("inspect", help="show what stands in a session cookie", description=_INSPECT))
    _add_audit(commands.add_parser("audit", help="tell what is weak in a configuration", description=_AUDIT))
    _add_sweep(commands.add_parser("sweep", help="remove expired sessions from a store", description=_SWEEP))
    return parser


def _keygen(options: argparse.Namespace) -> int:
    print(generate())
    return 0


_INSPECT = f"""Show the three parts of a token, its data, when it was signed, and whether it verifies.
The key is read from the environment variable {KEY_VARIABLE}, never from the command line,
where other users of the machine could see it."""


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TOKEN", help="a token, or a Cookie: or Set-Cookie: line; - reads stdin")
    parser.add_argument("--salt", default="cookie-session", help="the salt it was signed with (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    text = _standard_input() if options.text == "-" else options.text
    token, *others = find_tokens(text)
    report = inspect(token, salt=options.salt)
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    if others:
        print(f"session-mw: {len(others)} more there; of two genuine ones, none is trusted", file=sys.stderr)
    return 1 if report["verified"] is False else 0


_AUDIT = f"""Judge a configuration by OWASP ASVS 5.0 and RFC 6265bis; the exit status is 1 where something fails.
Of keys only the length is shown. TARGET is module:attribute, an application behind SessionMiddleware, a middleware,
a SessionManager or a Flask app (module:attribute() calls it first), imported from the current directory; or
path.ini#section, a section of settings as PasteDeploy's or with the prefix "{PREFIX}". Without #section
it is the one that has such keys or says "use = egg:session_mw". A store that an .ini file names is not opened."""


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="myapp:application, or production.ini#filter:session")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> int:
    findings = audit(find_target(options.target))
    print(json.dumps([finding._asdict() for finding in findings], indent=2) if options.json else as_table(findings))
    return int(any(finding.verdict == FAIL for finding in findings))


_SWEEP = f"""Remove what has expired from a store that keeps it until then: file, SQLite, SQL. The stores do so
little by little as well, so this is for a site that was busy once. A URL that holds a password is best given
in the environment variable {URL_VARIABLE}: others can see the command line."""


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", nargs="?", default=os.environ.get(URL_VARIABLE), help=f"sqlite:///sessions.db, say (${URL_VARIABLE})"
    )
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> int:
    if not options.url:
        raise SessionError(f"which store? Give its URL, or set {URL_VARIABLE}")
    store = open_existing(options.url)
    try:
        if not is_sweepable(store):
            print(f"Nothing to do: in a {type(store).__name__}, sessions expire by themselves.")
        elif options.dry_run:
            print(f"{counted(store.count_expired())}; none was removed (--dry-run)")
        else:
            bar = Bar(store.count_expired(), sys.stderr) if sys.stderr.isatty() else None
            print(f"{counted(sweep(store, bar))} removed")
    finally:
        store.close()
    return 0


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise SessionError("standard input is not text") from error
