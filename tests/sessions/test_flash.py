"""flash, pop_flashes and peek_flashes over any mapping, and beside Flask's own."""

from __future__ import annotations

from collections.abc import MutableMapping

import pytest

from session_mw.flash import flash, peek_flashes, pop_flashes


class Watched(dict):
    """A session that notices assignments and deletions only, as Flask's does."""

    modified = False

    def __setitem__(self, key, value):
        self.modified = True
        super().__setitem__(key, value)

    def __delitem__(self, key):
        self.modified = True
        super().__delitem__(key)


class OtherMapping(MutableMapping):
    """A session that is no dict."""

    def __init__(self):
        self._items = {}

    def __getitem__(self, key):
        return self._items[key]

    def __setitem__(self, key, value):
        self._items[key] = value

    def __delitem__(self, key):
        del self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


@pytest.mark.parametrize("make_session", [dict, Watched, OtherMapping])
def test_messages_come_back_once_in_their_order_with_their_category(make_session):
    session = make_session()
    flash(session, "Saved.", "success")
    flash(session, "Hello")

    assert pop_flashes(session) == [("success", "Saved."), ("message", "Hello")]
    assert pop_flashes(session) == []
    assert list(session) == []


@pytest.mark.parametrize("make_session", [Watched, OtherMapping])
def test_a_peek_leaves_the_messages_in_the_session(make_session):
    session = make_session()
    flash(session, "Saved.", "success")
    flash(session, "Hello")
    session.modified = False

    assert peek_flashes(session) == [("success", "Saved."), ("message", "Hello")]
    assert peek_flashes(session, ["message"]) == peek_flashes(session, "message") == [("message", "Hello")]
    assert peek_flashes(session, ["error"]) == peek_flashes(make_session()) == []
    assert not session.modified
    assert pop_flashes(session) == [("success", "Saved."), ("message", "Hello")]


def test_the_key_and_shape_are_flasks():
    session = {}
    flash(session, "Saved.", "success")

    assert session == {"_flashes": [("success", "Saved.")]}


def test_each_message_is_an_assignment_of_a_new_list():
    session = Watched(_flashes=[("message", "one")])
    before = session["_flashes"]
    flash(session, "two")

    assert session.modified
    assert before == [("message", "one")]


def test_a_session_without_messages_is_only_read():
    session = Watched(user_id=42)

    assert pop_flashes(session) == pop_flashes(session, ["error"]) == []
    assert not session.modified


def test_a_filter_takes_its_categories_and_leaves_the_others():
    session = {}
    for category in ("error", "info", "error", "warning"):
        flash(session, f"an {category}", category)

    assert pop_flashes(session, ["error", "warning"]) == [
        ("error", "an error"),
        ("error", "an error"),
        ("warning", "an warning"),
    ]
    assert session["_flashes"] == [("info", "an info")]
    assert pop_flashes(session, category_filter="info") == [("info", "an info")]
    assert session == {}


def test_a_filter_that_fits_nothing_writes_nothing():
    session = Watched(_flashes=[("info", "x")])

    assert pop_flashes(session, ["error"]) == []
    assert not session.modified


def test_a_filter_may_be_used_up_by_being_read():
    session = {"_flashes": [("error", "x"), ("error", "y")]}

    assert pop_flashes(session, (category for category in ["error"])) == [("error", "x"), ("error", "y")]


def test_pairs_that_plain_json_made_lists_are_tuples_again():
    assert pop_flashes({"_flashes": [["error", "x"]]}) == [("error", "x")]


@pytest.mark.parametrize(
    "odd", [None, 5, "ab", b"ab", {"a": 1}, {"ab"}, True, 1.5, [], (), [None, 5, "ab", [], [1], [1, 2, 3]]]
)
def test_what_is_no_list_of_messages_counts_as_none(odd):
    popped, flashed = {"_flashes": odd}, {"_flashes": odd}
    flash(flashed, "x")

    assert pop_flashes(popped, ["error"]) == []
    assert popped == {}
    assert flashed == {"_flashes": [("message", "x")]}


def test_well_formed_messages_among_others_are_kept():
    session = {"_flashes": (None, ("error", "x"), [[], {}], "ab")}

    assert pop_flashes(session, ["error"]) == [("error", "x")]
    assert pop_flashes(session) == [([], {})]


def test_flask_reads_our_messages_and_we_read_flasks():
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    app.secret_key = "test-secret-key-0123456789abcdef"
    with app.test_request_context():
        flash(flask.session, "ours", "success")
        flask.flash("theirs", "error")
        assert flask.session["_flashes"] == [("success", "ours"), ("error", "theirs")]
        assert flask.get_flashed_messages(with_categories=True) == [("success", "ours"), ("error", "theirs")]
    with app.test_request_context():
        flask.flash("theirs", "error")
        assert pop_flashes(flask.session) == [("error", "theirs")]
        assert "_flashes" not in flask.session
