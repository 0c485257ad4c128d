"""What the README says is so; its blocks are run by test_docs.py, its comparison by test_comparison.py."""

from __future__ import annotations

import ast
import re

import pytest

from session_mw.settings import Settings
from session_mw.stores.urls import STORES
from support.declared import ROOT, SETUP, names
from support.markdown import README, blocks_of, code, prose_of, table, text_of
from support.visitors import Visitor

TEXT = text_of(README)
SETTING_NAMES = set(Settings.__dataclass_fields__)


def test_the_example_counts_a_visitor_s_visits(run_page):
    visitor = Visitor(run_page(README)["app"])
    assert [visitor.get().body for _ in range(3)] == [b"visit 1\n", b"visit 2\n", b"visit 3\n"]


def test_the_example_has_ten_lines():
    (block,) = blocks_of(README, "python")
    assert sum(len(ast.unparse(statement).splitlines()) for statement in ast.parse(block.text).body) <= 10


def test_it_has_four_screens():
    """A screen is 50 lines of 120 characters; a row of a table takes as many as its longest cell needs."""
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert len(TEXT.splitlines()) <= 140
    assert len(TEXT.split()) <= 1250
    assert len(rows) <= 45


def test_the_two_commands_stand_there():
    rows = dict(table(README, "| |\n|---|---|\n| run the demo"))
    assert code(rows["run the demo"]) == ['python -m pip install -e ".[demo]" && python demo_app.py']
    assert code(rows["pass the tests"]) == ["python -m pip install tox && tox"]


def test_it_needs_nothing_but_what_it_says():
    assert "It needs Python 3.11 or later, `itsdangerous`, `webob` and `msgspec`, nothing else." in TEXT
    assert names(SETUP["options"]["install_requires"]) == {"itsdangerous", "webob", "msgspec"}
    assert SETUP["options"]["python_requires"] == ">=3.11"


def test_the_urls_name_every_kind_of_store():
    schemes = {url.partition(":")[0] for row in table(README, "`store=`") for url in code(row[0])}
    modules = {STORES.get(scheme) or STORES[scheme.partition("+")[0]] for scheme in schemes}
    assert modules == set(STORES.values())


def test_every_setting_that_it_writes_with_a_value_exists():
    written = {name for span in code(prose_of(README)) for name in re.findall(r"\b([a-z_]+)=(?!=)", span)}
    assert written <= SETTING_NAMES
    assert len(written) >= 2


def test_cookie_or_store_has_three_columns():
    rows = table(README, "| in the cookie (default)")
    assert len(rows) >= 9
    assert {len(row) for row in rows} == {4}


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT)
    anchors = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", TEXT, re.M)}
    broken = [t for t in targets if (t[1:] not in anchors if t[0] == "#" else not (ROOT / t).exists())]
    assert len(targets) > 30
    assert broken == []


@pytest.mark.parametrize("picture", re.findall(r"(?:src=\"|!\[[^\]]*\]\()([^\")]+)", TEXT))
def test_a_picture_is_small_and_said_in_words(picture):
    assert (ROOT / picture).stat().st_size < 150_000
    words = re.search(rf'!\[([^\]]+)\]\({re.escape(picture)}\)|src="{re.escape(picture)}" alt="([^"]+)"', TEXT)
    assert words is not None
    assert len((words[1] or words[2]).split()) > 5
