"""Each cookie that is rejected is one line in the log, which holds nothing of it."""

from __future__ import annotations

import logging

import pytest

from session_mw import SessionManager
from support.hostile import AUTHENTIC as G
from support.hostile import EVIL, served
from support.tokens import KEY, NOW, sealed, signed, stamp_of

pytestmark = pytest.mark.usefixtures("now")

LIFETIME = 31 * 86400
PERMANENT_LIST = b'["_permanent"]'
EXPIRED = signed(b"{}", NOW - LIFETIME - 1)


def forged(count: int) -> list[str]:
    return [f"session={G[:-5]}{n:05d}" for n in range(count)]


@pytest.mark.parametrize(
    ("header", "level", "reason"),
    [
        (f"session={EXPIRED}", logging.DEBUG, "expired"),
        (f"session={G[:-1]}A", logging.INFO, "bad_signature"),
        ("session=garbage", logging.INFO, "malformed"),
        ("session=\xff\xfe", logging.INFO, "malformed"),
        ("session=" + "x" * 5000, logging.INFO, "malformed"),
        ("session=a; session=b", logging.INFO, "malformed"),
        (f"session={sealed('e30', stamp_of(NOW + 61))}", logging.INFO, "future"),
        (f"session={signed(PERMANENT_LIST)}", logging.WARNING, "bad_payload"),
        (f"session={sealed('.eJw')}", logging.WARNING, "bad_payload"),
        (f"session={G}; session={EVIL}", logging.WARNING, "ambiguous"),
    ],
)
@pytest.mark.parametrize("touch", [dict, lambda _: None])
def test_each_rejection_is_logged_once_with_its_reason_at_its_level(header, level, reason, touch, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(header, touch)
    (record,) = caplog.records
    assert record.levelno == level
    assert f"refused: {reason} (fingerprint " in record.getMessage()


@pytest.mark.parametrize(
    "value",
    [G[:-1] + "A", EXPIRED, signed(b'["hunter2"]'), "a\r\nINFO forged line", "\x1b[31m", "\ud800\n", "x" * 5000],
)
def test_no_log_line_holds_the_token_its_data_or_a_line_break(value, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(f"session={value}")
    served(f"session={value}; session={G}; session={EVIL}")
    assert caplog.records
    for record in caplog.records:
        text = logging.Formatter().format(record)
        assert text.isascii()
        assert text.isprintable()
        for part in (value, G, EVIL, value[:12], "hunter2", "attacker", KEY):
            assert part not in text


def test_a_fingerprint_tells_tokens_apart_and_is_another_in_another_process(caplog):
    caplog.set_level(logging.INFO, "session_mw")
    for value in ("one", "one", "two"):
        served(f"session={value}")
    served("session=one", dict, SessionManager(KEY))
    one, again, two, elsewhere = (record.getMessage() for record in caplog.records)
    assert one == again
    assert len({one, two, elsewhere}) == 3


def test_a_header_full_of_garbage_is_logged_in_a_few_lines(caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(";".join(f"session=junk{n}" for n in range(4000)))
    served("; ".join(forged(1000)))
    assert len(caplog.records) <= 12


def test_a_normal_visit_writes_no_line(any_client, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    for _ in range(2):
        any_client.do(lambda s: s.update(n=s.get("n", 0) + 1))
    assert (any_client.data()["n"], caplog.records) == (2, [])
