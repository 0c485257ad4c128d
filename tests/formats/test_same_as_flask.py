"""Random sessions through the serializer of the Flask that is installed and through ours, both ways."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from session_mw.codecs.signed import SignedCodec
from session_mw.tagged_json import TaggedJSON

flask = pytest.importorskip("flask")
markupsafe = pytest.importorskip("markupsafe")
hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

KEY = "test-secret-key-0123456789abcdef"
NOW = 1700000000
TAGS = [" t", " b", " m", " u", " d", " di"]

zones = st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)))
datetimes = st.datetimes(dt.datetime(1000, 1, 2), dt.datetime(9999, 12, 30), timezones=st.none() | zones)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.builds(markupsafe.Markup, st.text())
    | datetimes
)
# Flask writes these as text, so they do not come back as what they were.
one_way = st.dates() | st.decimals(allow_nan=False)
keys = st.text() | st.sampled_from(TAGS) | st.sampled_from([tag + "__" for tag in TAGS])


def containers(items):
    lists = st.lists(items, max_size=4)
    return lists | lists.map(tuple) | st.dictionaries(keys, items, max_size=4)


sessions = st.dictionaries(keys, st.recursive(scalars, containers, max_leaves=12), max_size=5)
sessions_one_way = st.dictionaries(keys, st.recursive(scalars | one_way, containers, max_leaves=12), max_size=5)
not_slow = hypothesis.settings(max_examples=150, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


@pytest.fixture(scope="module")
def flasks():
    """Flask's serializer, in a request, at a time that stands still."""
    app = flask.Flask(__name__)
    app.secret_key = KEY
    with app.test_request_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: float(NOW))
        yield app.session_interface.get_signing_serializer(app)


def written(data):
    """What comes back: aware datetimes in UTC without microseconds."""
    if isinstance(data, dict):
        return {key: written(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(written(item) for item in data)
    if isinstance(data, dt.datetime):
        aware = data if data.tzinfo else data.replace(tzinfo=dt.UTC)
        return aware.astimezone(dt.UTC).replace(microsecond=0, fold=0)
    return data


def as_text(data):
    """Equal where types, the signs of zeros and the contents are."""
    if isinstance(data, dict):
        return {key: as_text(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(as_text(item) for item in data)
    return repr(data)


@hypothesis.given(data=sessions)
@not_slow
def test_flask_reads_what_we_write_and_we_read_what_flask_writes(flasks, data):
    codec, serializer = SignedCodec(KEY), TaggedJSON()
    ours = codec.encode(serializer.dumps(data), NOW, NOW)
    theirs = flasks.dumps(data)

    assert as_text(flasks.loads(ours)) == as_text(written(data))
    assert as_text(serializer.loads(codec.decode(theirs)[0])) == as_text(written(data))


@hypothesis.given(data=sessions_one_way)
@not_slow
def test_both_write_the_same_token(flasks, data):
    codec = SignedCodec(KEY)
    payload = TaggedJSON().dumps(data)
    ours, theirs = codec.encode(payload, NOW, NOW), flasks.dumps(data)

    assert codec.decode(theirs)[0] == payload
    # Compressed bytes are not the same in every build of zlib.
    assert ours == theirs or ours[0] == theirs[0] == "."


@hypothesis.given(number=st.floats())
@not_slow
def test_both_write_and_read_the_same_float(flasks, number):
    payload, theirs = TaggedJSON().dumps({"f": number}), flasks.dumps({"f": number})

    assert SignedCodec(KEY).decode(theirs)[0] == payload
    assert repr(TaggedJSON().loads(payload)) == repr(flasks.loads(theirs)) == repr({"f": number})
