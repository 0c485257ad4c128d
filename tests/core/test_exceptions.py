"""Errors travel: through process pools, and to those that report them."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from session_mw import SessionManager, exceptions
from session_mw.exceptions import CookieTooLarge, ExpiredToken, NotSerializable, SessionError, StoreError

ARGUMENTS: dict[type[BaseException], tuple[object, ...]] = {
    NotSerializable: ("['cart'][0]", "a set has no form in JSON"),
    CookieTooLarge: (5000, 4096, "'cart' 4800"),
    ExpiredToken: (),
}
ALL = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, BaseException) and kind.__module__ == exceptions.__name__
]


class OfAnApplication(StoreError):
    """Takes other arguments than its message."""

    def __init__(self, host: str, *, port: int) -> None:
        super().__init__(f"{host}:{port} is down")
        self.port = port


def pickled(protocol: int) -> Callable[[BaseException], BaseException]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


def errors() -> list[BaseException]:
    made = [kind(*ARGUMENTS.get(kind, ("what is wrong",))) for kind in ALL]
    noted = StoreError("the session database failed: disk I/O error")
    noted.add_note("while the session was saved")
    noted.__cause__ = OSError(5, "Input/output error")
    return [*made, noted, OfAnApplication("db", port=5432)]


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, *map(pickled, range(pickle.HIGHEST_PROTOCOL + 1))])
def test_an_error_is_the_same_after_a_journey(
    error: BaseException, travel: Callable[[BaseException], BaseException]
) -> None:
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_every_error_of_the_package_is_tried() -> None:
    assert {SessionError, NotSerializable, CookieTooLarge, ExpiredToken} <= set(ALL)
    assert len(ALL) == 10


def save_a_set(_: int) -> None:
    sessions = SessionManager("0123456789abcdef" * 2)
    session = sessions.open({})
    session["x"] = {1, 2}.__class__
    sessions.commit(session)


def test_a_process_pool_outlives_an_error() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for _ in range(2):
            with pytest.raises(NotSerializable, match=r"session\['x'\] cannot be saved") as caught:
                pool.submit(save_a_set, 1).result(60)
            assert caught.value.path == "['x']"
