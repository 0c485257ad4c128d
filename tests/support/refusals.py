"""For each reason that there is, a request whose cookie is refused for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from session_mw import MemoryStore, Session, SessionManager
from support.stores import METHODS, Recording
from support.tokens import KEY, OTHER_KEY, signed, token_of
from support.visitors import Client

DAY = 86400


class Refusal(NamedTuple):
    """A request, and the manager that refuses its cookie."""

    sessions: SessionManager
    header: str
    """The Cookie header."""


ANN = b'{"user":"ann"}'


def _signed(*tokens: str) -> Refusal:
    return Refusal(SessionManager(KEY), "; ".join(f"session={token}" for token in tokens))


def _begun(sessions: SessionManager) -> Client:
    client = Client(sessions)
    client.do(_fill)
    return client


def _fill(session: Session) -> None:
    session.update(user="ann", cart=["apple"])
    session.principal = "42"


def _ended() -> Refusal:
    client = _begun(SessionManager(KEY, revocations=MemoryStore()))
    client.other().do(lambda session: session.invalidate())
    return Refusal(client.sessions, client.cookie)


def _renewed() -> Refusal:
    client = _begun(SessionManager(store=MemoryStore()))
    client.other().do(lambda session: session.regenerate_id())
    return Refusal(client.sessions, client.cookie)


def _unproven() -> Refusal:
    bound = b'{"_principal":"42","_signer":"AAAAAAAAAAAAAAAA.%b","user":"ann"}' % (b"A" * 44)
    return Refusal(SessionManager(KEY, device_bound=True), f"session={signed(bound, _now())}")


def _unreadable() -> Refusal:
    store = MemoryStore()
    client = _begun(SessionManager(store=store))
    record = store.load(client.key)
    assert record is not None
    assert store.update(client.key, b"?" + record.data, 1000, record.version)
    return Refusal(client.sessions, client.cookie)


def _unavailable() -> Refusal:
    store = Recording(MemoryStore())
    client = _begun(SessionManager(store=store))
    store.fail(*METHODS)
    return Refusal(client.sessions, client.cookie)


def _now() -> int:
    return int(time.time())


REFUSALS: dict[str, Callable[[], Refusal]] = {
    "malformed": lambda: _signed("hello"),
    "bad_signature": lambda: _signed(token_of({"user": "eve"}, OTHER_KEY)),
    "future": lambda: _signed(signed(ANN, _now() + 3600)),
    "expired": lambda: _signed(signed(ANN, _now() - 40 * DAY)),
    "bad_payload": lambda: _signed(signed(b"[1,2,3]", _now())),
    "ended": _ended,
    "unknown": lambda: Refusal(SessionManager(store=MemoryStore()), f"session={'A' * 43}"),
    "ambiguous": lambda: _signed(token_of({"user": "ann"}), token_of({"user": "eve"})),
    "too_many": lambda: _signed(*(token_of({"n": n}) for n in range(9))),
    "unproven": _unproven,
    "renewed": _renewed,
    "unreadable": _unreadable,
    "unavailable": _unavailable,
    "no_key": lambda: Refusal(SessionManager(), f"session={token_of({'user': 'ann'})}"),
}
