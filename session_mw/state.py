"""What is known of a session beside its data, from its first touch on; and what a commit asks of the response.

Who owns what:

    Session        what the application did (accessed, changes), and how far the response is (phase)
    SessionState   what is known of the saved session (token, id, metadata); made by a backend's ``load``
    Backend        what all requests share (codec or store, cookie, lifetimes); one for each manager
    Outcome        what one commit asks of the response

These hold at any time:

1. ``session._state`` is None exactly as long as the session is not loaded: its dict then holds a placeholder.
2. A session's backend, header and scheme are set when it is opened, and stay; its environ goes with the headers.
3. The phase only grows: OPEN, SENT, OVER.
4. A state without a token has no id, no payload and no record.
5. The intent only grows, KEEP < RENEW < END, until a save succeeds or ``modified = False``, which set it to KEEP.
6. Only a state's own methods write its fields.
7. A session that is gone (another request ended it) stays gone.
8. A save that raises loses nothing and can be made again: token, payload and record are those of what is in the store.
9. An Outcome is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from session_mw.session import Session

Header = tuple[str, str]

VARY: Header = ("Vary", "Cookie")

# What a save has to do about the id.
KEEP: Final = 0
RENEW: Final = 1
"""Save under a new id, and end the old one."""
END: Final = 2
"""End the session; what the dict holds afterwards begins another one."""

MAX_OWN_LIFETIME: Final = 400 * 86400
"""Seconds. Browsers keep no cookie for longer (RFC 6265bis §5.5)."""
MAX_LABEL: Final = 200
"""Characters."""

# Keys of the metadata.
COMPANION: Final = "_companion"
"""The name of a record that ends with the session, and the session with it: see ``companion_key``."""
CREATED: Final = "_created"
LABEL: Final = "_label"
LIFETIME: Final = "_lifetime"
PRINCIPAL: Final = "_principal"
SIGNER: Final = "_signer"
"""A name for the session, of 16 characters; once it is bound to a device, a dot and the device's key follow."""
SID: Final = "_sid"
"""The id of a session in a cookie, where it is remembered which have ended."""
SINCE: Final = "_since"
"""Since when it is: see :class:`session_mw.backends.revocations.entries.Since`."""
NO_METADATA: Final[Mapping[str, Any]] = MappingProxyType({})


class Outcome:
    """What one commit asks of the response.

    Attributes:
        headers: The headers to add: none, ``Vary``, or ``Vary`` and ``Set-Cookie``.
        refresh_only: Whether the cookie only says again what the browser knows, with a later end. It is left
            out of a response that is for shared caches.
        offers: Headers for this visitor's browser, which are left out there too.
    """

    __slots__ = ("headers", "offers", "refresh_only")

    def __init__(
        self, headers: tuple[Header, ...], refresh_only: bool = False, offers: tuple[Header, ...] = ()
    ) -> None:
        self.headers = headers
        self.refresh_only = refresh_only
        self.offers = offers


SILENT: Final = Outcome(())
"""Nothing depends on the session."""
VARIES: Final = Outcome((VARY,))
"""The response depends on the session, and the browser need not be told anything."""


def is_bound(metadata: Mapping[str, Any]) -> bool:
    """Whether a session with these metadata is bound to a device's key."""
    return "." in metadata.get(SIGNER, "")


def told(cookies: list[str], refresh_only: bool = False) -> Outcome:
    """The outcome that sets these cookies, each the text of a Set-Cookie header."""
    if len(cookies) == 1:
        return Outcome((VARY, ("Set-Cookie", cookies[0])), refresh_only)
    return Outcome((VARY, *[("Set-Cookie", cookie) for cookie in cookies]), refresh_only)


class SessionState:
    """What is known of a session beside its data; of one that no manager opened, nothing.

    Attributes:
        new: Whether the visitor came without a session that was accepted.
        created: Unix time at which the session began.
        intent: ``KEEP``, ``RENEW`` or ``END``.
        metadata: What is saved beside the data and hidden from the dict, by its key in the payload.
    """

    __slots__ = ("created", "intent", "metadata", "new")

    def __init__(self) -> None:
        self.new = True
        self.created = 0
        self.intent: int = KEEP
        self.metadata: Mapping[str, Any] = NO_METADATA

    @property
    def id(self) -> str | None:
        """The public name of the session, safe to log; None where it has none, or none yet."""
        return None

    @property
    def saved_id(self) -> str:
        """The id under which it is saved, also while that is about to change; empty where it is not saved."""
        return ""

    @property
    def principal(self) -> str | None:
        """Whose session it is; None: nobody's."""
        principal: str | None = self.metadata.get(PRINCIPAL)
        return principal

    @property
    def lifetime(self) -> int | None:
        """The lifetime of its own that the session has, in seconds; None: the manager's."""
        lifetime: int | None = self.metadata.get(LIFETIME)
        return lifetime

    @property
    def label(self) -> str | None:
        """What a list of the user's sessions calls it."""
        label: str | None = self.metadata.get(LABEL)
        return label

    @property
    def device_bound(self) -> bool:
        """Whether it is bound to a device's key."""
        return is_bound(self.metadata)

    def set_metadata(self, key: str, value: Any) -> None:
        """Keep a value beside the data; None removes it."""
        metadata = {name: kept for name, kept in self.metadata.items() if name != key}
        self.metadata = metadata if value is None else {**metadata, key: value}

    def renew(self) -> None:
        """Have the next save change the id."""
        self.intent = max(self.intent, RENEW)

    def succeed(self, now: int) -> None:
        """Have the next save put a new session in this one's place, whatever has become of this one meanwhile.

        For a log-in: it takes over the data, begins its life at ``now`` (Unix time), and must not be lost
        because another request has ended or renewed the anonymous session.
        """
        self.renew()
        self.begin_anew(now)

    def end(self) -> None:
        """Have the next save end the session. What the dict holds from then on is nobody's yet, without a label."""
        self.intent = END
        self.metadata = {CREATED: self.created} if CREATED in self.metadata else NO_METADATA

    def begin_anew(self, now: int) -> None:
        """Let the life of the session begin at ``now`` (Unix time)."""
        self.created = now

    def rebase(self, session: Session) -> None:
        """Take what the dict holds now for what was read: what was changed until now is not saved."""

    def is_changed(self, session: Session) -> bool:
        """Whether there is anything to save."""
        return False

    def may_save_late(self) -> bool:
        """Whether a change could still be saved after the headers are out."""
        return False

    def may_end_late(self) -> bool:
        """Whether the end of the session could still be saved after the headers are out."""
        return False

    def save(self, session: Session) -> Outcome:
        """Save what has changed since the last call.

        Raises:
            NotSerializable: A value cannot be written.
            CookieTooLarge: A browser would not keep the cookie.
            StoreError: The store failed; nothing is promised to the visitor.
        """
        return SILENT


class Backend(Protocol):
    """Where the sessions of one manager live. It never changes once it is built."""

    manager: Any
    """The manager that it belongs to, for adapters that meet a session whose manager they do not know."""
    store: Any
    """The store; None: sessions live in the cookie, or nowhere."""

    def load(self, session: Session) -> tuple[SessionState, dict[str, Any]]:
        """The state of the visitor's session and its data.

        Raises:
            StoreError: The store does not answer. Whatever a client sends raises nothing.
        """

    def save_unread(self, session: Session) -> Outcome:
        """Refresh the cookie of a session that nobody looked at; it stays unlooked at."""


class NullBackend:
    """What a manager has that was given neither a secret key nor a store: sessions are empty, and kept nowhere."""

    manager: Any = None
    store: Any = None

    def load(self, session: Session) -> tuple[SessionState, dict[str, Any]]:
        """A state that knows nothing, and no data."""
        return SessionState(), {}

    def save_unread(self, session: Session) -> Outcome:
        """Nothing: no response depends on such a session."""
        return SILENT
