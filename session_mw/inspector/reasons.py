"""Why a session is not there, in words for the one who wonders: the cause, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Reason(NamedTuple):
    """One reason."""

    title: str
    """What is wrong, in a few words."""
    cause: str
    """How that comes about."""
    remedy: str
    """What to do."""


REFUSED: Final[Mapping[str, Reason]] = {
    "malformed": Reason(
        "It is not a token of this application",
        "The value does not have the form of a token. Another program sets a cookie of this name, a part of the "
        "token is missing, or it was made under another setting: encrypt, digest or store.",
        "Find out who else sets a cookie of this name, and give one of the two another name (cookie_name). If a "
        "setting was changed on purpose, nothing has to be done: the visitor begins a new session.",
    ),
    "bad_signature": Reason(
        "No key of this application made it",
        "It was signed or encrypted with another secret key or salt, for a cookie of another name, or a character of "
        "it was changed. Where secret_key is made anew at each start, every restart has this effect, and every worker "
        "process has a key of its own.",
        "Make a key once (session-mw keygen), and give it to all processes and servers. After a change of the key, put "
        "the former one into secret_key_fallbacks for as long as lifetime.",
    ),
    "future": Reason(
        "It was signed in the future",
        "Its time lies ahead of this server's clock, by more than leeway allows: the clock of the server that signed "
        "it is wrong, or this one's.",
        "Let all servers take their time from the network (NTP). A larger leeway allows for more.",
    ),
    "expired": Reason(
        "It is too old",
        "Its session was not used for longer than lifetime, or for longer than a lifetime of its own "
        "(session.lifetime), or it began longer ago than absolute_lifetime.",
        "Nothing, if that is meant: the visitor begins a new session. Otherwise set a longer lifetime or "
        "absolute_lifetime. A session in the cookie lives on when it is written to or, if it is permanent, with every "
        "response.",
    ),
    "bad_payload": Reason(
        "A key of this application made it, and it holds no session",
        "It is authentic, but what is in it cannot be read as a session: another application signs other things with "
        "this key and salt, its compression or its JSON is damaged, or a time in it lies in the future.",
        "Give each application a key of its own, or at least a salt of its own.",
    ),
    "ended": Reason(
        "This session was ended",
        "Somebody logged out (session.invalidate), or the session was ended from elsewhere: end, end_all or "
        "end_everyone. The cookie is a copy from before.",
        "Nothing: this is what a log-out is for. The next log-in begins another session.",
    ),
    "unknown": Reason(
        "The store has no such session",
        "It has ended or expired, or the store has lost it: it was restarted, emptied, or full. Or this process asks "
        "another store than the one that wrote it: memory:// is one for each process, and prefix, table and file have "
        "to be the same. Or nobody has ever issued this id.",
        "Let all processes use one store. What each store loses, and when, is in docs/stores.md.",
    ),
    "ambiguous": Reason(
        "Several authentic cookies came, and one may have been planted",
        "More than one cookie of this name holds a token of this application. cookie_domain or cookie_path was changed "
        "and browsers still have the former cookie, or another host or path of the domain has set one. Nobody can tell "
        "which one is the visitor's own, so none is trusted.",
        "Nothing, after a change of settings: the next writing to the session, a log-in say, deletes them all and sets "
        'one. Against cookies of other hosts, set cookie_name="__Host-session".',
    ),
    "too_many": Reason(
        "More cookies came than are tried",
        "More than 8 cookies of this name have the form of a token. To verify each of them would cost as much time as "
        "anybody wants it to, so none is tried.",
        "Delete this site's cookies in the browser, and find out which host or path sets them. "
        'cookie_name="__Host-session" keeps out those of other hosts.',
    ),
    "unproven": Reason(
        "Its session is bound to another device",
        "Only a browser with the device's key gets a proof cookie, every ten minutes, and none came that holds. The "
        "cookie was copied into another browser; or this browser could not ask for a proof: the server did not answer "
        "it, or it has proven too often in a short time.",
        "Nothing, if the cookie is a copy. Otherwise load the page again, and look for Secure-Session-Skipped in the "
        'log. device_bound="report" refuses nothing.',
    ),
    "renewed": Reason(
        "Its session has another id by now",
        "A log-in (session.regenerate_id) gave the session a new id less than a minute ago, and this request came with "
        "the old one. It was sent before the browser had the new cookie.",
        "Nothing: the browser has the new cookie, or is about to get it. If this lasts, the browser did not keep that "
        "cookie: look at the response to the log-in.",
    ),
    "unreadable": Reason(
        "The store has a record, and it cannot be read",
        "The record is damaged, belongs to another cookie_name or salt, is encrypted under a key that is not here, or "
        "was written before store_encryption was changed.",
        "If a setting was changed, change it back or let these sessions expire; a former key belongs into "
        "secret_key_fallbacks. The application sees an empty session, and writes under a new id.",
    ),
    "unavailable": Reason(
        "The store does not answer",
        "Where sessions are, or which of them have ended, could not be asked. Nobody's session is taken for lost: "
        "until the store is back, an application that touches its session gets a StoreError.",
        "Start the store's server, and check its URL. README.md shows how to answer with 503 meanwhile.",
    ),
    "no_key": Reason(
        "Nothing keeps sessions here",
        "Neither secret_key nor store is set. Each session is empty, and a write to it raises SessionUnavailable.",
        "Set secret_key (session-mw keygen makes one), or store.",
    ),
}
"""Why a cookie that came is not accepted, for each reason of ``session_mw.backends.explanation``."""

NOTICED: Final[Mapping[str, Reason]] = {
    "secure": Reason(
        "The cookie is Secure, and the page came over http",
        "cookie_secure is True, or another setting needs Secure: the prefix of cookie_name, SameSite=None or "
        "Partitioned. Browsers keep such a cookie from a page over http only on this machine.",
        'Serve the site over https, or leave cookie_secure at "auto". A proxy that ends TLS has to say so.',
    ),
    "domain": Reason(
        "Its Domain is not that of the page",
        "cookie_domain is neither the host in the address line nor a parent of it: browsers drop the cookie.",
        "Leave cookie_domain out. The cookie is then for exactly the host that sets it.",
    ),
    "path": Reason(
        "The page is outside of its Path",
        "Browsers send the cookie to cookie_path and below only.",
        "Leave cookie_path at '/', or give SessionInspector a path below it.",
    ),
    "size": Reason(
        "It is large",
        "Above 3.5 kB a cookie may not fit into a proxy's buffer for all headers together, which answers 502 instead. "
        "Above 4096 bytes browsers keep the old one, so that is the error CookieTooLarge.",
        "Keep little in the session, an id rather than what it stands for, or set store.",
    ),
    "public": Reason(
        "A page that sets it was meant for shared caches",
        "A response said Cache-Control: public or s-maxage, and set the cookie: a cache could hand it to others.",
        "Let pages that write to the session say private.",
    ),
    "setting": Reason(
        "It is authentic under another setting",
        "The key is right, and digest, salt or encrypt is another one than when the cookie was made.",
        "Give all processes, and the application that made the cookie, the same settings.",
    ),
    "device_path": Reason(
        "Browsers would not send it to where devices are registered",
        "device_path is not below cookie_path, so no session is bound to its device.",
        "Let device_path lie below cookie_path.",
    ),
    "device_http": Reason(
        "Sessions are bound to devices over https only",
        "A request came over http, or a proxy has ended TLS and the server does not know.",
        "Serve the site over https. A proxy that ends TLS has to say so.",
    ),
}
"""Why a cookie does not come back, or not as it was sent, for each reason of ``session_mw.notices``."""
