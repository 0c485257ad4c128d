"""What ``session-mw audit`` says of sessions that are bound to a device (DBSC, a draft of the W3C)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from session_mw.commands.report import FAIL, OK, WARN, Finding, span
from session_mw.settings import Settings

_STANDARD = "W3C DBSC"
_SHORT = 180
"""Seconds. Chromium proves ahead when two minutes are left, and six times in nine minutes at most."""
_LONG = 900


def judge_device(settings: Settings) -> Iterator[Finding]:
    """Judge whether a stolen cookie is of use on another device."""
    if settings.device_bound is False:
        why = "a copied cookie works on any device until it ends; device_bound=True, in browsers that can"
        yield Finding("device_bound", "off", OK, why, _STANDARD)
        return
    for package in ("jwt", "cryptography"):
        if find_spec(package) is None:
            why = 'nothing starts without it: pip install "session_mw[bound]"'
            yield Finding(package, "missing", FAIL, why, "")
    lifetime = span(settings.proof_seconds)
    if settings.device_bound == "report":
        verdict, why = WARN, "copied cookies are logged and still accepted; set it to True when the log is quiet"
    elif settings.store is None and settings.revocations is None:
        verdict = WARN
        why = "a copy from before the registration can be bound to another device; a store or revocations= ends it"
    else:
        verdict, why = OK, f"in browsers that can, copied cookies are of no use after {lifetime}; a remember cookie is"
    yield Finding("device_bound", str(settings.device_bound), verdict, why, _STANDARD)

    seconds = settings.proof_seconds
    if seconds < _SHORT:
        verdict, why = WARN, "browsers prove ahead, and only so often in some minutes: then visitors are refused"
    elif seconds > _LONG:
        verdict, why = WARN, "for how long copied cookies are good"
    else:
        verdict, why = OK, "for how long copied cookies are good; browsers prove again before it is over"
    yield Finding("device_proof_lifetime", lifetime, verdict, why, _STANDARD)

    if settings.cookie_domain is not None:
        why = "browsers prove the device to the host that registered it; elsewhere a session ends with its proof"
        yield Finding("device: hosts", f"all of {settings.cookie_domain}", WARN, why, _STANDARD)
