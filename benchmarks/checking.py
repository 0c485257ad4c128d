"""Checks that a contender does the work, before it is timed."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

from driving import Answer, Refuses, ask, request_cookie
from scenarios import BODY, KEY, NOW, Contender, Data, Scenario

BEAKERS_OWN = ("_id", "_creation_time", "_accessed_time", "_domain", "_path")


def data_in(contender: Contender, cookie: str | None) -> Data:
    """What the contender finds in a cookie, without what it keeps there for itself."""
    seen: Data = {}

    def look_inside(session: Any) -> None:
        session.get("user_id")
        seen.update(dict(session.items()))

    ask(contender.build(Scenario("look inside", look_inside), KEY), cookie)
    return {name: value for name, value in seen.items() if name not in BEAKERS_OWN}


def check(contender: Contender, scenario: Scenario, data: Data) -> list[tuple[str, ...]] | None:
    """Make sure that a contender does what the scenario says.

    Returns:
        Its session headers at a fixed time, for a comparison; None: it refuses the data.

    Raises:
        AssertionError: It does other work.
    """
    with mock.patch.object(time, "time", return_value=float(NOW)):
        try:
            cookie = request_cookie(contender, scenario, data)
        except Refuses:
            return None
        answer = ask(contender.build(scenario, KEY), cookie)
        _check_answer(contender, scenario, data, answer)
        return answer.ours()


def _check_answer(contender: Contender, scenario: Scenario, data: Data, answer: Answer) -> None:
    label = f"{contender.name}, {scenario.name}"
    if (answer.status, answer.body) != ("200 OK", BODY[0]):
        raise AssertionError(f"{label}: {answer.status}")
    wanted = data | {"visits": data["visits"] + 1} if scenario.writes else data
    sends = scenario.writes or (scenario.permanent and scenario.refresh)
    if sends and data_in(contender, answer.cookie()) != wanted:
        raise AssertionError(f"{label}: the new cookie does not hold the data")
    if scenario.forged and data_in(contender, request_cookie(contender, scenario, data)):
        raise AssertionError(f"{label}: a forged cookie was believed")
    if contender.format and not sends and answer.cookie() is not None:
        raise AssertionError(f"{label}: a cookie was sent")
