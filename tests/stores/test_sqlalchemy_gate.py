"""How many calls to a database go on at once, and who is next."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("sqlalchemy")

from session_mw.exceptions import StoreError
from session_mw.stores.sqlalchemy.gate import Gate
from support.interrupting import break_off_at_a_call

BUSY = "no place was free"


def soon() -> float:
    return time.monotonic() + 10


def test_calls_that_wait_are_served_in_the_order_in_which_they_came() -> None:
    gate, served, began = Gate(1), list[int](), threading.Semaphore(0)
    end = threading.Event()

    def call(number: int) -> None:
        began.release()
        gate.run(lambda: served.append(number), soon(), BUSY)

    holder = threading.Thread(target=lambda: gate.run(end.wait, soon(), BUSY))
    holder.start()
    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
        began.acquire()
        time.sleep(0.005)
    end.set()
    for thread in [holder, *threads]:
        thread.join()
    assert served == list(range(20))


def test_a_call_that_waits_in_vain_is_an_error_and_leaves_nothing() -> None:
    gate, end = Gate(1), threading.Event()
    holder = threading.Thread(target=lambda: gate.run(end.wait, soon(), BUSY))
    holder.start()
    for _ in range(3):
        with pytest.raises(StoreError, match=BUSY):
            gate.run(lambda: None, time.monotonic() + 0.02, BUSY)
    end.set()
    holder.join()
    assert gate.run(lambda: "in", time.monotonic(), BUSY) == "in"


def test_a_call_that_is_broken_off_anywhere_keeps_no_place_while_its_error_is_kept() -> None:
    gate, at, kept = Gate(1), 0, list[BaseException]()

    def call() -> None:
        try:
            gate.run(lambda: None, soon(), BUSY)
        except BaseException as error:
            kept.append(error)
            raise

    while break_off_at_a_call(call, at):
        at += 1
        assert gate.run(lambda: "in", time.monotonic(), BUSY) == "in"
    assert at > 10
    assert kept


def test_a_closed_gate_lets_nobody_in_and_waits_for_those_who_are() -> None:
    gate, inside, end = Gate(2), threading.Event(), threading.Event()

    def go_on() -> None:
        inside.set()
        end.wait()

    holder = threading.Thread(target=lambda: gate.run(go_on, soon(), BUSY))
    holder.start()
    inside.wait()
    gate.close(time.monotonic() + 0.02)
    assert holder.is_alive()
    with pytest.raises(StoreError, match=BUSY):
        gate.run(lambda: None, time.monotonic() + 0.02, BUSY)
    end.set()
    gate.close(soon())
    holder.join()
    gate.open()
    assert gate.run(lambda: "in", time.monotonic(), BUSY) == "in"
