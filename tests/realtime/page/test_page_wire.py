"""Messages to the page's process arrive whole, in order and as they were, however the pipe cuts them."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.page.wire import (
    Described,
    Mark,
    Tick,
    landmarks_from,
    landmarks_to_bytes,
    packed,
    unpacked,
    values_of,
    values_to_bytes,
)
from tests.support.served import FakeRun, tick, varying

messages = st.one_of(
    st.just(Described(FakeRun().description())),
    st.builds(Mark, st.floats(0, 1e6), st.text(max_size=200)),
    st.integers(0, 1000).map(
        lambda k: Tick(varying(k)[0], values_to_bytes(varying(k)[1].values), k % 3, {"k": [k, None]}, None)
    ),
)


@given(st.lists(messages, max_size=20), st.integers(1, 999))
def test_messages_arrive_as_they_were(sent, size):
    stream, waiting, arrived = b"".join(map(packed, sent)), bytearray(), []
    for start in range(0, len(stream), size):
        waiting += stream[start : start + size]
        arrived += unpacked(waiting)
    assert arrived == sent
    assert not waiting


def test_an_estimate_has_the_same_json():
    estimate, observation = tick(7)
    (arrived,) = unpacked(bytearray(packed(Tick(estimate, {}, None, None, None))))
    assert msgspec.json.encode(arrived.estimate) == msgspec.json.encode(estimate)
    values = values_of(values_to_bytes(observation.values))
    assert values.keys() == observation.values.keys()
    assert values["audio"] is None
    np.testing.assert_array_equal(values["face"], observation.values["face"])


def test_landmarks_arrive_as_they_were():
    points = np.random.default_rng(0).random((478, 2), np.float32)
    own, others, aspect = landmarks_from(landmarks_to_bytes((points, {2: points[::-1]}, 1.5)))
    np.testing.assert_array_equal(own, points)
    np.testing.assert_array_equal(others[2], points[::-1])
    assert aspect == 1.5
    assert landmarks_from(landmarks_to_bytes((None, {}, 1.0))) == (None, {}, 1.0)
