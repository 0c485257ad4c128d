"""What ``session-mw audit`` says of chapter 7, "Session Management", of OWASP ASVS 5.0.

It judges the items that a session layer answers, or has the means for. 7.1.3 (documents of single
sign-on) and 7.4.4 (where the log-out stands on a page) are the application's alone, and 7.2.3 stands
beside the token's other findings.
"""

from __future__ import annotations

from collections.abc import Iterator

from session_mw.commands.report import FAIL, OK, WARN, Finding, span
from session_mw.protocols import is_indexed
from session_mw.settings import Settings
from session_mw.stores.urls import class_for

APPLICATIONS_OWN = ("7.1.3", "7.4.4")
"""Items that only the application can answer."""

_DAY = 86400


def judge_lifetimes(settings: Settings) -> Iterator[Finding]:
    """Judge how long a session is valid."""
    idle, absolute, leeway = settings.lifetime_seconds, settings.absolute_seconds, settings.leeway_seconds

    last = "writing" if settings.store is None else "use"
    if idle > 400 * _DAY:
        verdict = WARN
        why = "browsers keep no cookie for more than 400 days; a stolen one would be good for longer"
    elif idle > 31 * _DAY:
        verdict, why = WARN, f"a stolen cookie is good for more than a month after its last {last}"
    else:
        verdict = OK
        why = f"how long a cookie is good after its last {last}; shorten it where a stolen one does harm"
    yield Finding("lifetime", span(idle), verdict, why, "ASVS 7.3.1; RFC 6265bis 5.5")

    if absolute is None:
        verdict, why = WARN, "a session that is used never ends, a stolen one neither"
    elif absolute > 366 * _DAY:
        verdict, why = WARN, "longer than a year; a stolen session is good for that long"
    else:
        verdict, why = OK, "after that time the visitor logs in again, whatever happens"
    yield Finding("absolute_lifetime", "none" if absolute is None else span(absolute), verdict, why, "ASVS 7.3.2")

    why = "a permanent session ends after its last writing"
    if settings.refresh_each_request:
        endless = "; without absolute_lifetime one in use never ends" if absolute is None else ""
        why = f"each response moves the end of a permanent session{endless}"
    yield Finding("refresh_each_request", str(settings.refresh_each_request), OK, why, "ASVS 7.3.1")

    why = "how far other servers' clocks may be ahead"
    if leeway > 300:
        why = "tokens whose time has not come are accepted for minutes; let the servers' clocks be set (NTP)"
    yield Finding("leeway", f"{leeway} s", FAIL if leeway > 300 else OK, why, "ASVS 9.2.1")


def judge_sessions(settings: Settings) -> Iterator[Finding]:
    """Judge how sessions begin, are listed and end."""
    absolute = settings.absolute_seconds
    limits = f"{span(settings.lifetime_seconds)}; {'no limit' if absolute is None else span(absolute)}"
    why = "idle and absolute limit: write down why they fit, and where they differ from NIST SP 800-63B"
    yield Finding("limits to document", limits, OK, why, "ASVS 7.1.1")
    why = "each token is verified, or looked up, before anything in it is used"
    yield Finding("token: checked", "on the server", OK, why, "ASVS 7.2.1")
    why = "made for one session; no API key stands for one"
    yield Finding("token: made", "for each session", OK, why, "ASVS 7.2.2")
    yield from _ends(settings)
    if _has_index(settings):
        why = "LoginMiddleware(max_sessions=5), say, ends the one used least recently; write the number down"
        yield Finding("parallel sessions", "can be limited", OK, why, "ASVS 7.1.2")
        why = "sessions.sessions_of(principal) lists them, sessions.end(id) ends one; ask for the password first"
        yield Finding("list of sessions", "can be shown", OK, why, "ASVS 7.5.2")
    else:
        why = "nothing counts them; a store with an index does"
        yield Finding("parallel sessions", "without limit", WARN, why, "ASVS 7.1.2")
        why = "users cannot see where they are logged in; with a store that has an index they can"
        yield Finding("list of sessions", "cannot be shown", WARN, why, "ASVS 7.5.2")
    why = "login_required(app, fresh=True), or fresh_for=, asks for the password again; the application says where"
    yield Finding("fresh log-in", "by the application", OK, why, "ASVS 7.5.1, 7.5.3")
    why = "where another service logs users in, let session.lifetime follow its limit"
    yield Finding("federated log-in", "by the application", OK, why, "ASVS 7.6.1")
    why = "a request that only reads makes no session; one begins when the application writes to it"
    yield Finding("beginning", "when written to", OK, why, "ASVS 7.6.2")


def _ends(settings: Settings) -> Iterator[Finding]:
    """What ends a session for good, and whether all sessions of an account can be ended."""
    if settings.store is not None:
        yield Finding("log-out", "removes the record", OK, "a copy of the cookie is of no use then", "ASVS 7.4.1")
    elif _remembers_ended(settings):
        yield Finding("log-out", "is remembered", OK, "every copy of the cookie is refused then", "ASVS 7.4.1")
    else:
        why = "a copy of the cookie stays valid after log-out, until the lifetime ends; revocations= or a store ends it"
        yield Finding("log-out", "forgets the cookie", FAIL, why, "ASVS 7.4.1")
    if settings.store is not None or _remembers_ended(settings):
        why = "session.regenerate_id() at log-in ends the old token; log_in() of session_mw.login calls it"
        yield Finding("log-in", "a new token", OK, why, "ASVS 7.2.4")
    else:
        why = "log-in makes a new token, and the old one stays valid; revocations= or a store ends it"
        yield Finding("log-in", "old one lives on", FAIL, why, "ASVS 7.2.4")
    if _has_index(settings) or _remembers_ended(settings):
        why = "sessions.end_all(principal), where the application disables or deletes it"
        yield Finding("disabled account", "can be ended", OK, why, "ASVS 7.4.2")
        why = "sessions.end_all(principal, keep=session), after a change of password, say"
        yield Finding("other sessions", "can be ended", OK, why, "ASVS 7.4.3")
        why = "sessions.end_all(principal) for one user, sessions.end_everyone() for all"
        yield Finding("administrator", "can end sessions", OK, why, "ASVS 7.4.5")
    else:
        why = "its sessions go on: nothing lists them; use revocations=, or a store with an index"
        yield Finding("disabled account", "cannot be ended", FAIL, why, "ASVS 7.4.2")
        why = "the user cannot end them after a change of password; use revocations=, or a store with an index"
        yield Finding("other sessions", "cannot be ended", WARN, why, "ASVS 7.4.3")
        why = "nothing lists a user's sessions; use revocations=, or a store with an index"
        yield Finding("administrator", "cannot end them", WARN, why, "ASVS 7.4.5")


def _remembers_ended(settings: Settings) -> bool:
    return settings.revocations is not None


def _has_index(settings: Settings) -> bool:
    """Whether the store lists sessions by principal; a URL's store is not opened for that."""
    if isinstance(settings.store, str):
        return hasattr(class_for(settings.store), "keys_of")
    return is_indexed(settings.store)
