"""Sessions in cookies that can be ended, against a model: whatever is done, and in whatever order."""

from __future__ import annotations

from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from session_mw import MemoryStore, SessionManager, StoreError
from support.clock import Clock
from support.stores import METHODS, Recording
from support.tokens import KEY, NOW
from support.visitors import Client

USERS = ("1", "2")
SERVERS = (0, 1)
LIFETIME = 10**6


class Endings(RuleBasedStateMachine):
    """Two servers on one store. A log-in that is known to have ended is refused by every server 1.5 s later."""

    clients = Bundle("clients")

    @initialize()
    def begin(self) -> None:
        self.clock = Clock(float(NOW))
        self.patches = [
            mock.patch("time.time", side_effect=lambda: self.clock.now),
            # The servers are two processes: neither tells the other one.
            mock.patch("session_mw.backends.revocations.follower.tell_others"),
        ]
        for patch in self.patches:
            patch.start()
        self.store = Recording(MemoryStore())
        self.is_up = True
        self.servers = [self._started(), self._started()]
        self.live: list[Client] = []
        self.ended: list[tuple[Client, float]] = []
        self.users: dict[int, str] = {}

    def _started(self) -> SessionManager:
        return SessionManager(KEY, revocations=self.store, lifetime=LIFETIME)

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()

    @rule(target=clients, server=st.sampled_from(SERVERS), user=st.sampled_from(USERS))
    def log_in(self, server: int, user: str) -> Client:
        client = Client(self.servers[server])
        client.do(lambda s: (s.update(user=user), setattr(s, "principal", user)))
        if self.is_up:
            self.live.append(client)
        # While the store is down only clocks tell what comes first, and an ending wins: nothing is promised.
        self.users[id(client)] = user
        return client

    @rule(client=consumes(clients))
    def log_out(self, client: Client) -> None:
        copy = client.other()
        try:
            client.do(lambda s: s.invalidate())
        except StoreError:
            assert not self.is_up
            return
        self._end([client], copy)

    @rule(client=clients)
    def end(self, client: Client) -> None:
        try:
            session_id = client.open().id
            if session_id is None:
                return
            self.servers[0].end(session_id)
        except StoreError:
            assert not self.is_up
            return
        self._end([client])

    @rule(client=clients)
    def change_id(self, client: Client) -> None:
        copy = client.other()
        try:
            was_sent = client.do(lambda s: s.regenerate_id() if s else None) == "set"
        except StoreError:
            assert not self.is_up
            return
        if was_sent:
            self.ended.append((copy, self.clock.now))

    @rule(server=st.sampled_from(SERVERS), user=st.sampled_from(USERS))
    def end_all(self, server: int, user: str) -> None:
        try:
            self.servers[server].end_all(user)
        except StoreError:
            assert not self.is_up
            return
        self._end([client for client in self.live if self.users[id(client)] == user])

    @rule(server=st.sampled_from(SERVERS), client=clients, gets_new_id=st.sampled_from(["no", "before", "after"]))
    def end_the_others(self, server: int, client: Client, gets_new_id: str) -> None:
        user, request = self.users[id(client)], client.other(self.servers[server])
        try:
            session = request.open()
            if gets_new_id == "before":
                session.regenerate_id()
            self.servers[server].end_all(user, keep=session)
            if gets_new_id == "after":
                session.regenerate_id()
            request.commit(session)
        except StoreError:
            assert not self.is_up
            return
        self._end([other for other in self.live if self.users[id(other)] == user and other is not client])
        if client in self.live and gets_new_id != "no":
            self.ended.append((client.other(), self.clock.now))
            client.token = request.token

    @rule(server=st.sampled_from(SERVERS))
    def end_everyone(self, server: int) -> None:
        try:
            self.servers[server].end_everyone()
        except StoreError:
            assert not self.is_up
            return
        self._end([*self.live])

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.5, 20.0, 3600.0, -0.4]))
    def step(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(server=st.sampled_from(SERVERS))
    def restart(self, server: int) -> None:
        self.servers[server] = self._started()

    @rule()
    def outage(self) -> None:
        self.store.fail(*METHODS)
        self.is_up = False

    @rule()
    def come_back(self) -> None:
        self.store.before.clear()
        self.is_up = True
        # A failed look is made again a second later.
        self.clock.now += 1.5

    def _end(self, clients: list[Client], *copies: Client) -> None:
        self.ended += [(one, self.clock.now) for one in (*[client.other() for client in clients], *copies)]
        self.live = [client for client in self.live if client not in clients]

    @invariant()
    def what_has_ended_is_refused_and_the_rest_lives(self) -> None:
        for server in self.servers:
            for client, at in self.ended:
                # What a server does not know when an outage begins, it learns when that ends.
                if self.is_up and abs(self.clock.now - at) >= 1.5:
                    assert self._read(server, client) in ({}, None)
            for client in self.live:
                assert self._read(server, client) in ({"user": self.users[id(client)]}, None)

    def _read(self, server: SessionManager, client: Client) -> dict[str, str] | None:
        try:
            return client.other(server).data()
        except StoreError:
            assert not self.is_up
            return None


TestEndings = Endings.TestCase
TestEndings.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
