"""A store that comes new is a module and a row of ``urls.py``: every command knows it then."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from session_mw import ConfigurationError, MemoryStore, SessionManager, open_store
from session_mw.cli import main
from session_mw.protocols import Location
from session_mw.stores.urls import STORES, location_of

RECORDS = MemoryStore()


class ThrowAwayStore:
    """Keeps its records as MemoryStore does, and says that they are elsewhere."""

    def __init__(self, url: str) -> None:
        self.url = url
        for name in ("load", "create", "update", "touch", "delete", "keys_of"):
            setattr(self, name, getattr(RECORDS, name))

    keys_of = RECORDS.keys_of

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> ThrowAwayStore:
        return cls(url)

    @classmethod
    def location_of(cls, url: str) -> Location:
        return Location("throwaway", url, hosts=("far.example.com",), tls=True)

    def describe(self) -> Location:
        return self.location_of(self.url)

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("session_mw.stores.throwaway")
    module.ThrowAwayStore = ThrowAwayStore  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(STORES, "throwaway", STORES["memory"]._replace(module="throwaway", name="ThrowAwayStore"))


def test_it_is_opened_and_told_by_its_url() -> None:
    assert isinstance(open_store("throwaway://far"), ThrowAwayStore)
    assert location_of("throwaway://far").hosts == ("far.example.com",)
    with pytest.raises(ConfigurationError, match="did you mean 'throwaway'"):
        open_store("thrownaway://far")


def test_the_commands_know_it(capsys: pytest.CaptureFixture[str]) -> None:
    sessions = SessionManager(store="throwaway://far")
    session = sessions.open({})
    session["a"] = 1
    session.principal = "42"
    token = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0].partition("=")[2]
    assert main(["sessions", "throwaway://far", "42"]) == 0
    assert str(session.id) in capsys.readouterr().out
    assert main(["inspect", token, "--store", "throwaway://far"]) == 0
    assert '"a": 1' in capsys.readouterr().out
    assert main(["end", "throwaway://far", "--all", "42"]) == 0
    assert capsys.readouterr().out == "1 session ended\n"
    assert main(["sweep", "throwaway://far"]) == 0
    assert "in a ThrowAwayStore, sessions expire by themselves" in capsys.readouterr().out


def test_the_audit_judges_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.ini").write_text("[x]\nsession.store = throwaway://far\n")
    main(["audit", "app.ini", "--json"])
    found = {one["attribute"]: (one["value"], one["verdict"]) for one in json.loads(capsys.readouterr().out)}
    assert found["store"] == ("throwaway://far", "ok")
    assert found["store: connection"] == ("TLS", "ok")
    assert found["list of sessions"] == ("can be shown", "ok")
