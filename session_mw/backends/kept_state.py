"""The state of a session that is kept somewhere: what was read, and what has changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from session_mw.backends.payload import is_as_read, pack, unpack
from session_mw.cookies import SessionCookie
from session_mw.exceptions import NotSerializable
from session_mw.lazy_dict import UNCHANGED, WRITTEN
from session_mw.protocols import Serializer
from session_mw.rejections import RejectionLog
from session_mw.session import Session
from session_mw.state import CREATED, END, KEEP, NO_METADATA, VARIES, Outcome, SessionState, told


class KeepingBackend(Protocol):
    """What a state needs of the backend that made it."""

    serializer: Serializer
    cookie: SessionCookie


_Backend = TypeVar("_Backend", bound=KeepingBackend)


class Guard(Protocol):
    """What may reject authentic sessions, and asks more of a response than the sessions do."""

    def admits(
        self,
        session: Session,
        state: KeptState[Any],
        rejections: RejectionLog,
        logged: set[str] | None = None,
    ) -> bool:
        """Whether the request may have the session; a line in the log says why not."""

    def admits_unread(self, session: Session, payload: bytes) -> bool:
        """Whether it is known already that the request may have the session with this payload."""

    def name_of(self, state: KeptState[Any]) -> str:
        """The name of a session that is somebody's: what it is bound by."""

    def was_under_way(self, session: Session, name: str, bound_at: int) -> bool:
        """Whether the request may have been sent before its session was bound, at a Unix time a moment ago."""

    def save(self, session: Session, state: SessionState) -> Outcome:
        """Call ``state.save``, and say what is asked of the response.

        Raises:
            NotSerializable: As from :meth:`.SessionState.save`, like all others.
        """

    def serve(self, sessions: Any) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes] | None]:
        """What a middleware calls first in each request; None: the request is the application's.

        Args:
            sessions: The middleware's manager.
        """


class KeptState(SessionState, Generic[_Backend]):
    """What a cookie's and a stored session have in common.

    Attributes:
        token: What the visitor's cookie holds; empty where there is no saved session.
        payload: What was read or saved last, as the serializer wrote it.
        permanent: Whether the saved session is permanent.
        may_have_duplicates: Whether the browser may keep others beside the next cookie that is sent, which then have to
            go: several authentic ones came, or the session ends and its cookie may stand at another place than ours.
        rejected: Whether an authentic cookie came that does not count in this request, and may in the next one. It
            is neither replaced nor deleted, unless somebody logs in.
    """

    __slots__ = ("_backend", "_baseline", "may_have_duplicates", "payload", "permanent", "rejected", "token")

    # CPython takes as long to call an __init__ as for all the rest of a load: who makes a state calls begin().
    __init__ = object.__init__

    def begin(
        self,
        backend: _Backend,
        created: int,
        metadata: Mapping[str, Any] = NO_METADATA,
        token: str = "",
        payload: bytes = b"",
        permanent: bool = False,
    ) -> None:
        """Fill all fields; without a token, as the state of a session that is not saved yet."""
        self.new = not token
        self.created = created
        self.intent = KEEP
        self.metadata = metadata
        self.token = token
        self.payload = payload
        self.permanent = permanent
        self.may_have_duplicates = self.rejected = False
        # What changes are found against after ``modified = False``; None: the payload. Empty: nothing is found.
        self._baseline: bytes | None = None
        self._backend = backend

    def reject(self) -> None:
        """Be the state of a request whose session does not count in it, after :meth:`begin`."""
        self.rejected = True

    def leave(self, session: Session) -> Outcome:
        """Save nothing, and send nothing: the browser keeps the cookie that it has."""
        self.intent = KEEP
        session._committed()
        return VARIES

    def end(self) -> None:
        """Have the next save end the session, and remove its cookie from wherever it stands."""
        super().end()
        if self.token:
            self.may_have_duplicates = True

    def begin_anew(self, now: int) -> None:
        """Let the life of the session begin at ``now`` (Unix time)."""
        self.created = now
        if CREATED in self.metadata:
            self.set_metadata(CREATED, now)

    def packed(self, session: Session) -> bytes:
        """The payload of what the session holds now.

        Raises:
            NotSerializable: A value cannot be written, or a key has a name that is reserved.
        """
        return pack(self._backend.serializer, session._plain(), self.metadata)

    def changed(self, session: Session) -> bytes | None:
        """The payload to write; None if nothing was written to the session or changed inside it.

        Raises:
            NotSerializable: As from :meth:`packed`.
        """
        if session._changes >= WRITTEN:
            return self.packed(session)
        read = self.payload if self._baseline is None else self._baseline
        if session._changes == UNCHANGED or not read:
            return None
        try:
            payload = self.packed(session)
        except NotSerializable:
            # Another writer may have kept within 1 MiB what takes more in our spelling (raw UTF-8, 1e15).
            if is_as_read(self._backend.serializer, read, session._plain()):
                return None
            raise
        return None if payload == read or is_as_read(self._backend.serializer, read, session._plain()) else payload

    def is_changed(self, session: Session) -> bool:
        """Whether there is anything to save.

        Raises:
            NotSerializable: A value cannot be written.
        """
        return self.intent != KEEP or self.changed(session) is not None

    def saved_metadata(self) -> Mapping[str, Any]:
        """The metadata as they were read or saved last, where those that were set since were discarded."""
        return self.metadata if self._baseline is None else unpack(self._backend.serializer, self.payload)[1]

    def is_empty(self, session: Session) -> bool:
        """Whether nothing is worth keeping."""
        return not dict.__len__(session) and self.principal is None

    def rebase(self, session: Session) -> None:
        """Take what the dict holds now for what was read; the session neither ends nor gets another id."""
        if self.intent == END and self.token:
            self.metadata = unpack(self._backend.serializer, self.payload)[1]
            self.created = self.metadata.get(CREATED, self.created)
            self.may_have_duplicates = False
        self.intent = KEEP
        try:
            self._baseline = self.packed(session)
        except NotSerializable:
            self._baseline = b""

    def outcome(self, session: Session, texts: list[str], refresh_only: bool = False) -> Outcome:
        """What the response is asked, with these texts of Set-Cookie headers.

        Where others may stand beside them, deletions for all places at which one may stand come first, so that
        the new one stands alone.
        """
        if not texts:
            return VARIES
        if self.may_have_duplicates:
            self.may_have_duplicates = False
            if self._backend.cookie.values(session._header):
                texts = [*self._deletions_elsewhere(session), *texts]
        return told(texts, refresh_only)

    def deletion(self, session: Session, known: bool) -> list[str]:
        """What a log-out sends: the cookie goes, also where the one that came was not accepted.

        Args:
            known: Whether it was accepted.
        """
        self.may_have_duplicates = True
        cookie = self._backend.cookie
        return [cookie.delete(session._https)] if known or cookie.values(session._header) else []

    def _deletions_elsewhere(self, session: Session) -> list[str]:
        host, path = session._place()
        proxied = (session._environ or {}).get("HTTP_X_FORWARDED_PROTO", "")
        return self._backend.cookie.delete_elsewhere(host, path, session._https, behind_tls="https" in proxied)
