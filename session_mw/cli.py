"""The command ``session-mw``, also ``python -m session_mw``."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence

from session_mw.commands import stored
from session_mw.commands.audit import audit
from session_mw.commands.audit_chapter7 import APPLICATIONS_OWN
from session_mw.commands.audit_target import PREFIX, find_target
from session_mw.commands.existing import URL_VARIABLE, existing_store
from session_mw.commands.inspect import as_text, find_tokens, inspect
from session_mw.commands.report import FAIL, as_table, date, summary
from session_mw.commands.stored import KEY_VARIABLE, Format
from session_mw.commands.sweep import Bar, counted, sweep
from session_mw.exceptions import SessionError
from session_mw.protocols import Store, is_sweepable
from session_mw.secret_keys import generate
from session_mw.session import check_principal
from session_mw.version import __version__

_TOKEN_LIKE_AN_OPTION = re.compile(r"-[A-Za-z0-9._-]{21,}")

_FORMAT = f"""The key of encrypted ones is read from the environment variable {KEY_VARIABLE}, never from the
command line, where other users of the machine could see it."""
_STORE = f"""A URL that holds a password is best given in the environment variable {URL_VARIABLE}: others can see the
command line. No file, directory or table is made."""
_INSPECT = f"""Show what a session cookie holds: of a signed token the three parts, its data, when it was signed and
whether it verifies; of an encrypted one the data, with the key; with --store the stored session whose id the cookie is.
{_FORMAT} The exit status is 1 where a token does not verify or cannot be opened."""
_AUDIT = f"""Judge a configuration by OWASP ASVS 5.0 and RFC 6265bis; the exit status is 1 where something fails.
Of keys only the length is shown. TARGET is module:attribute, an application behind SessionMiddleware, a middleware,
a SessionManager or a Flask app (module:attribute() calls it first), imported from the current directory; or
path.ini#section, a section of settings as PasteDeploy's or with the prefix "{PREFIX}". Without #section
it is the one that has such keys or says "use = egg:session_mw". A store that an .ini file names is not opened."""
_SESSIONS = f"""List the live sessions of a principal, the last used first: id, when it began, when it was last used
(to a tenth of the lifetime), and its label, if it has one. {_FORMAT}
{_STORE}"""
_END = f"""End one session by its id, or with --all every session of a principal, wherever they are in use, and the
remember cookies of their devices. Sessions in cookies end too: URL is then what "revocations" is set to, and with --all
--revocations says so. {_FORMAT} {_STORE} The exit status is 1 where no stored session has the id."""
_SWEEP = f"""Remove what has expired from a store that keeps it until then: file, SQLite, SQL. The stores do so
little by little as well, so this is for a site that was busy once. {_STORE}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 where what was looked at is bad, missing or cannot be reached; 2 for wrong
        arguments; 130 after Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else arguments
    # One token or id in 64 begins with "-", which argparse takes for an option. find_tokens() reads "=TOKEN" as TOKEN.
    options = _parser().parse_args([f"={text}" if _TOKEN_LIKE_AN_OPTION.fullmatch(text) else text for text in given])
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except SessionError as error:
        print(f"session-mw: {' '.join(str(error).splitlines())}", file=sys.stderr)
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
    parser.add_argument("--version", action="version", version=f"session-mw {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    keygen = commands.add_parser("keygen", help="print a new secret key")
    keygen.set_defaults(run=_keygen)

    inspected = commands.add_parser("inspect", help="show what stands in a session cookie", description=_INSPECT)
    inspected.add_argument("text", metavar="TOKEN", help="a token, or a Cookie: or Set-Cookie: line; - reads stdin")
    inspected.add_argument(
        "--store",
        nargs="?",
        metavar="URL",
        const=os.environ.get(URL_VARIABLE, ""),
        help=f"where the session is stored; without URL, ${URL_VARIABLE}",
    )
    _add_format(inspected)
    inspected.add_argument("--json", action="store_true", help="print JSON")
    inspected.set_defaults(run=_inspect)

    audited = commands.add_parser("audit", help="tell what is weak in a configuration", description=_AUDIT)
    audited.add_argument("target", metavar="TARGET", help="myapp:application, or production.ini#filter:session")
    audited.add_argument("--json", action="store_true", help="print JSON")
    audited.set_defaults(run=_audit)

    listed = commands.add_parser("sessions", help="list a principal's sessions", description=_SESSIONS)
    _add_url(listed)
    listed.add_argument("principal", metavar="PRINCIPAL", help="what session.principal was set to: a user's id, say")
    _add_format(listed)
    listed.add_argument(
        "--lifetime", default=Format().lifetime, help="the site's lifetime, in seconds or as '12 hours' (%(default)s)"
    )
    listed.add_argument("--json", action="store_true", help="print JSON")
    listed.set_defaults(run=_sessions, error=listed.error)

    ended = commands.add_parser("end", help="end a session, or all of a principal", description=_END)
    _add_url(ended)
    ended.add_argument("id", metavar="ID", nargs="?", help="what session.id says, or session-mw sessions shows")
    ended.add_argument("--all", metavar="PRINCIPAL", dest="principal", help="end all sessions of this principal")
    ended.add_argument("--revocations", action="store_true", help="with --all: those in cookies")
    _add_format(ended)
    ended.set_defaults(run=_end, error=ended.error)

    swept = commands.add_parser("sweep", help="remove expired sessions from a store", description=_SWEEP)
    _add_url(swept)
    swept.add_argument("--dry-run", action="store_true", help="only count")
    swept.set_defaults(run=_sweep)
    return parser


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", nargs="?", default=os.environ.get(URL_VARIABLE), help=f"sqlite:///sessions.db, say (${URL_VARIABLE})"
    )


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cookie-name", metavar="NAME", help="the cookie's name (session, or what TOKEN's line says)")
    parser.add_argument("--salt", default=Format().salt, help="the site's salt (%(default)s)")


def _keygen(options: argparse.Namespace) -> int:
    print(generate())
    return 0


def _format_of(options: argparse.Namespace, name: str = "") -> Format:
    lifetime = getattr(options, "lifetime", Format().lifetime)
    return Format(options.cookie_name or name or Format().cookie_name, options.salt, lifetime)


def _inspect(options: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if options.text == "-" else options.text
    except UnicodeDecodeError as error:
        raise SessionError("standard input is not text") from error
    found, *others = find_tokens(text, stored=options.store is not None, cookie_name=options.cookie_name)
    if options.store is None:
        report = inspect(found, _format_of(options, found.name))
    else:
        with existing_store(options.store) as store:
            report = inspect(found, _format_of(options, found.name), store)
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    if others:
        print(f"session-mw: {len(others)} more there; of two genuine ones, none is trusted", file=sys.stderr)
    return int(report["data"] is None or report["verified"] is False)


def _audit(options: argparse.Namespace) -> int:
    findings = audit(find_target(options.target))
    if options.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        print(f"{as_table(findings)}\n\n{summary(findings, APPLICATIONS_OWN)}")
    return int(any(finding.verdict == FAIL for finding in findings))


def _sessions(options: argparse.Namespace) -> int:
    if not options.url and "://" in options.principal:
        # argparse takes a single argument for the principal.
        options.error("give a PRINCIPAL after the URL")
    _check_principal(options.principal)
    with existing_store(options.url) as store:
        found = stored.list_all(store, options.principal, _format_of(options))
    if options.json:
        print(json.dumps([info._asdict() for info in found], indent=2))
        return 0
    if found:
        print(f"{'id':64}  {'created':23}  {'last used':23}  label")
    for info in found:
        label = json.dumps(getattr(info, "label", None) or "")[1:-1]
        print(f"{info.id}  {date(info.created)}  {date(info.last_used)}  {label}".rstrip())
    print(f"{len(found)} session{'' if len(found) == 1 else 's'}", file=sys.stderr)
    return 0


def _end(options: argparse.Namespace) -> int:
    url, session_id = options.url, options.id
    if options.principal is None and session_id is None:
        # argparse takes a single argument for the URL; it is the id where the environment has the URL.
        url, session_id = os.environ.get(URL_VARIABLE), url
        if not url or session_id == url:
            options.error("give a URL and an ID, or --all PRINCIPAL")
    if options.principal is not None and session_id is not None:
        options.error("give an ID or --all PRINCIPAL, not both")
    if options.principal is not None:
        _check_principal(options.principal)
    with existing_store(url) as store:
        print(_ended(store, session_id, options))
    return 0


def _ended(store: Store, session_id: str | None, options: argparse.Namespace) -> str:
    format_ = _format_of(options)
    if session_id is not None:
        session_id = session_id.removeprefix("=")
        if stored.is_in_cookie(session_id):
            stored.end_in_cookie(store, session_id, format_)
            return "the session has ended, if there was one: its cookie is refused from now on"
        stored.end(store, session_id, format_)
        return "1 session ended"
    if options.revocations:
        stored.end_all_in_cookies(store, options.principal, format_)
        return "all that there were have ended: their cookies are refused from now on"
    count = stored.end_all(store, options.principal, format_)
    if not count and stored.has_endings(store, format_):
        hint = "if this store is what revocations= is set to, add --revocations: sessions in cookies go on"
        print(f"session-mw: {hint}", file=sys.stderr)
    return f"{count} session{'' if count == 1 else 's'} ended"


def _sweep(options: argparse.Namespace) -> int:
    with existing_store(options.url, with_sessions=False) as store:
        if not is_sweepable(store):
            print(f"Nothing to do: in a {type(store).__name__}, sessions expire by themselves.")
        elif options.dry_run:
            print(f"{counted(store.count_expired())}; none was removed (--dry-run)")
        else:
            bar = Bar(store.count_expired(), sys.stderr) if sys.stderr.isatty() else None
            print(f"{counted(sweep(store, bar))} removed")
    return 0


def _check_principal(principal: str) -> None:
    try:
        check_principal(principal)
    except (TypeError, ValueError) as error:
        raise SessionError(str(error)) from None
