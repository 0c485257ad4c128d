"""How the cookies of a request are judged, and what is in them: for people who look into a request.

The judging is the backend's own. Here it is only listened to, by a copy of the backend whose log is a list. So what is
explained is what an application would meet, and nothing comes of it: no line in the log, no cookie, no writing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from session_mw.backends.build import codecs_by_key, cookie_of, records_by_key
from session_mw.backends.cookie import CookieBackend
from session_mw.backends.payload import unpack
from session_mw.backends.principals import SessionInfo
from session_mw.backends.record_format import created_of, is_live_marker, is_marker, key_of, split
from session_mw.backends.store import SHAPE, StoreBackend
from session_mw.backends.token_cache import TokenCache
from session_mw.codecs.records import Records
from session_mw.codecs.signed import read_unverified
from session_mw.cookies import MAX_CANDIDATES, MAX_HEADER
from session_mw.exceptions import BadToken, StoreError
from session_mw.lazy_dict import UNTOUCHED
from session_mw.notices import Notice, Notices
from session_mw.protocols import Codec, Record, Store
from session_mw.rejections import REASONS as LOGGED
from session_mw.rejections import RejectionLog
from session_mw.session import OpenedSession
from session_mw.settings import Settings
from session_mw.state import CREATED, LIFETIME, NO_METADATA, Backend
from session_mw.tagged_json import TaggedJSON

SIGNED, ENCRYPTED, STORED, NOWHERE = "signed", "encrypted", "stored", "nowhere"

_Explained: TypeAlias = "tuple[list[Candidate], StoreError | None]"

REASONS = (*LOGGED, "renewed", "unreadable", "unavailable", "no_key")
"""Why a cookie is not accepted: the words of the log, and some that are finer."""


@dataclass(frozen=True)
class Contents:
    """What is in a token or a record; only a key makes sure who wrote it."""

    payload: bytes = field(repr=False)
    """What the serializer wrote."""
    key: int | None
    """The key that opens it: 0 is ``secret_key``, 1 the first of ``secret_key_fallbacks``.

    None: none does, or none is needed, as for records that are not encrypted.
    """
    written: int | None
    """Unix time at which the token was made; a record does not have it."""
    created: int | None
    """Unix time at which the session began, as far as it is known."""
    data: dict[str, Any] | None = field(repr=False)
    """What an application would see; None: the payload is not a session's."""
    metadata: Mapping[str, Any] = field(repr=False)
    """What is kept beside the data, by its key in the payload."""


@dataclass(frozen=True)
class Candidate:
    """One value that came in a cookie of the session's name."""

    value: str = field(repr=False)
    """As it came, without quotes around it."""
    reason: str
    """Why it is not accepted, one of :data:`REASONS`; empty: it is."""
    contents: Contents | None = None
    """What is in it, as far as that can be read."""
    form: str = ""
    """Which kind of token it looks like: :data:`SIGNED`, :data:`ENCRYPTED` or :data:`STORED`; empty: none."""
    setting: str | None = None
    """Under which other setting of the manager's keys it would be authentic, in words."""
    idle_end: int | None = None
    """Unix time up to which it is accepted if it is not used any more."""
    absolute_end: int | None = None
    """Unix time up to which it is accepted at the longest; None: there is no such time."""
    key: str = ""
    """The store's key; empty for a session in the cookie."""
    record: Record | None = field(default=None, repr=False)
    """What the store has under that key."""
    info: SessionInfo | None = None
    """What a list of the principal's sessions says of the record."""


@dataclass(frozen=True)
class Explanation:
    """How the cookies of one request were judged."""

    kind: str
    """Where the manager's sessions are: :data:`SIGNED`, :data:`ENCRYPTED`, :data:`STORED` or :data:`NOWHERE`."""
    header: str = field(repr=False)
    """The Cookie header."""
    candidates: Sequence[Candidate] = ()
    """The distinct values of the session's cookie, in the header's order."""
    notices: Sequence[Notice] = ()
    """What would keep a cookie from coming back that the response to this request set."""
    failure: StoreError | None = None
    """What the store said, where it has to be known whether a session lives and it did not answer."""

    @property
    def accepted(self) -> Candidate | None:
        """The one whose session an application would see."""
        return next((one for one in self.candidates if not one.reason), None)

    @property
    def is_too_long(self) -> bool:
        """Whether nothing was looked for in the Cookie header because of its length."""
        return len(self.header) > MAX_HEADER


def explain(backend: Backend, settings: Settings, notices: Notices, environ: Mapping[str, Any]) -> Explanation:
    """Judge the cookies of a request as the backend does, and say what is in them.

    A store is asked once for each value that may be a token, and for what has ended, as at any request.

    Args:
        backend: A manager's.
        settings: The manager's.
        notices: The manager's.
        environ: The request's.
    """
    header: str = environ.get("HTTP_COOKIE", "")
    if isinstance(backend, StoreBackend):
        kind, (candidates, failure) = STORED, _explain_records(backend, settings, header, environ)
    elif isinstance(backend, CookieBackend):
        kind = ENCRYPTED if settings.encrypt else SIGNED
        candidates, failure = _explain_tokens(backend, settings, header, environ)
    else:
        kind, failure = NOWHERE, None
        candidates = [Candidate(value, "no_key") for value in cookie_of(settings).values(header)]
    accepted = next((one for one in candidates if not one.reason), None)
    size = 0 if accepted is None else len(settings.cookie_name) + len(accepted.value)
    return Explanation(kind, header, candidates, [*notices.about(size, environ)], failure)


def look_into(token: str, codecs: Sequence[Codec]) -> Contents | None:
    """What is in a token, also in a signed one that no key opens; None where it cannot be read.

    Args:
        codecs: Each has one key; the current key's comes first.
    """
    try:
        for number, codec in enumerate(codecs):
            if codec.shape.fullmatch(token):
                try:
                    payload, written, created, _ = codec.decode(token)
                except BadToken as error:
                    if error.reason == "bad_signature":
                        continue
                    raise
                return _contents(payload, number, written, created)
        if token.count(".") >= 2:
            payload, written = read_unverified(token)
            return _contents(payload, None, written, None)
    except BadToken:
        pass
    return None


def _contents(payload: bytes, key: int | None, written: int | None, created: int | None) -> Contents:
    try:
        data, metadata = unpack(TaggedJSON(), payload)
    except BadToken:
        return Contents(payload, key, written, created, None, NO_METADATA)
    begun = metadata.get(CREATED, written if created is None else created)
    return Contents(payload, key, written, begun, data, metadata)


class _Heard(RejectionLog):
    """Keeps why each token was rejected instead of logging it."""

    def __init__(self, shape: re.Pattern[str] | None) -> None:
        super().__init__(shape)
        self.reasons: dict[str, str] = {}

    def log(self, reason: str, token: str, logged: set[str] | None = None) -> None:
        self.reasons[token] = self.reason_for(reason, token)

    def unreadable(self, token: str, key: str) -> None:
        self.reasons[token] = "unreadable"

    def would_reject(self, reason: str, token: str, logged: set[str] | None = None) -> None:
        """Nothing: the session is accepted."""

    def old_key(self, token: str, what: str = "") -> None:
        """Nothing: the contents say which key it was."""


class _Unheard:
    """Takes the place of the notices."""

    def rejected(self, token: str) -> None:
        """Nothing: each token's explanation has it."""


class _Remembered:
    """A store that is asked once for each key, and cannot be written to.

    Attributes:
        records: What it was asked for, and had.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.records: dict[str, Record | None] = {}

    def load(self, key: str) -> Record | None:
        """The record, as the store has it."""
        self.records[key] = self._store.load(key)
        return self.records[key]


def _explain_tokens(backend: CookieBackend, settings: Settings, header: str, environ: Mapping[str, Any]) -> _Explained:
    listening = _listening(backend, backend.codec.shape)
    listening.tokens = TokenCache(backend.codec)
    reasons, is_late, failure = _judged(listening, header, environ)
    codecs, lifetimes, kind = codecs_by_key(settings), backend.lifetimes, ENCRYPTED if settings.encrypt else SIGNED
    candidates: list[Candidate] = []
    for value, reason in reasons.items():
        contents = look_into(value, codecs) if _may_be_read(candidates, reason) else None
        idle_end = absolute_end = None
        if contents is not None and contents.written is not None and contents.created is not None:
            own = contents.metadata.get(LIFETIME)
            idle_end = contents.written + (lifetimes.idle if own is None else own)
            absolute_end = None if lifetimes.absolute is None else contents.created + lifetimes.absolute
        candidates.append(
            Candidate(
                value,
                "renewed" if is_late and reason == "ended" else reason,
                contents,
                form=kind if backend.codec.shape.fullmatch(value) else SIGNED if contents else "",
                setting=_other_setting(backend.notices, value, reason, candidates),
                idle_end=idle_end,
                absolute_end=absolute_end,
            )
        )
    return candidates, failure


def _explain_records(backend: StoreBackend, settings: Settings, header: str, environ: Mapping[str, Any]) -> _Explained:
    listening = _listening(backend, None)
    listening.store = remembered = _Remembered(backend.store)
    reasons, _, failure = _judged(listening, header, environ)
    readers, lifetimes, now = records_by_key(settings), backend.lifetimes, int(time.time())
    candidates: list[Candidate] = []
    for value, reason in reasons.items():
        key = key_of(value) if SHAPE.fullmatch(value) else ""
        record = remembered.records.get(key)
        if record is None:
            contents = look_into(value, []) if not key and _may_be_read(candidates, reason) else None
            form = STORED if key else SIGNED if contents else ""
            setting = _other_setting(backend.notices, value, reason, candidates)
            candidates.append(Candidate(value, reason, contents, form, setting, key=key))
            continue
        contents = _contents_of_record(backend, readers, value, key, record)
        # Whether it has ended with all others is known from the load: the store is not asked again.
        described = None if is_marker(record) else backend.described(key, record, now)
        created = None if contents is None else contents.created
        candidates.append(
            Candidate(
                value,
                "renewed" if is_live_marker(record, now) else reason,
                contents,
                STORED,
                idle_end=record.expires,
                absolute_end=None if lifetimes.absolute is None or created is None else created + lifetimes.absolute,
                key=key,
                record=record,
                info=None if described is None else described[0],
            )
        )
    return candidates, failure


def _may_be_read(candidates: list[Candidate], reason: str) -> bool:
    """Whether what is in one more value is read: a client may send thousands, each of which could inflate to 1 MiB."""
    return not reason or sum(one.contents is not None for one in candidates) < MAX_CANDIDATES


def _contents_of_record(
    backend: StoreBackend, readers: Sequence[Records], token: str, key: str, record: Record
) -> Contents | None:
    try:
        sealed = split(record)[1]
        payload = backend.records.unseal(token, key, sealed)
    except Exception:  # noqa: BLE001 (a record can never cause an exception)
        return None
    number = next((number for number, records in enumerate(readers) if records.is_ours(key, sealed)), None)
    return _contents(payload, number, None, created_of(record))


def _other_setting(notices: Notices, value: str, reason: str, candidates: list[Candidate]) -> str | None:
    is_tried = reason in ("bad_signature", "malformed") and len(candidates) < MAX_CANDIDATES
    return notices.other_setting(value) if is_tried else None


def _listening(backend: Any, shape: re.Pattern[str] | None) -> Any:
    other = copy(backend)
    other._rejections, other.notices = _Heard(shape), _Unheard()
    return other


def _judged(backend: Any, header: str, environ: Mapping[str, Any]) -> tuple[dict[str, str], bool, StoreError | None]:
    """Why each value is not accepted, empty where it is; whether a session came late; what the store said."""
    session = OpenedSession(UNTOUCHED)
    session._begin(backend, header, environ.get("wsgi.url_scheme") == "https", environ)
    heard, token, is_late, failure = backend._rejections.reasons, "", False, None
    try:
        state, _ = backend.load(session)
        token, is_late, rest = state.token, getattr(state, "late", False), heard.get(header, "ambiguous")
    except StoreError as error:
        failure, rest = error, "unavailable"
    values = backend.cookie.values(header)
    return {value: "" if token and value == token else heard.get(value, rest) for value in values}, is_late, failure
