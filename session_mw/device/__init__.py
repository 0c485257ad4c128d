"""Sessions that are bound to a device: Device Bound Session Credentials (DBSC, a draft of the W3C).

A browser that can makes a key pair that cannot leave the device, and proves again and again that it has it. A session
counts only together with a young proof; so a copy of the browser's cookies is worth nothing elsewhere.

    session cookie     names the session and the key (a cookie session), or the record in which the key stands
    proof cookie       signed by the server, says that the key was there a short time ago

Modules: ``guard`` judges sessions and makes offers, ``endpoints`` answers the browser, ``proofs`` and ``keys`` read
what it sends (the only ones that need packages of the extra ``bound``), ``tokens`` signs challenges and proof cookies.
"""

from __future__ import annotations

from session_mw.device.binding import Binding as Binding
from session_mw.device.binding import binding_of as binding_of
from session_mw.device.binding import proven_until as proven_until
