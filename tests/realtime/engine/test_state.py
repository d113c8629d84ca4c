import random

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.state import State
from tests.support.damage import damaged

STATE = State(
    "0" * 64, {"h": np.arange(12, dtype=np.float32).reshape(2, 6), "w": np.ones((2, 1, 3), np.float32)}
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "session.npz"
    STATE.save(path)
    return path


def test_what_is_saved_is_loaded(path):
    state = State.load(path)
    assert state.sha256 == STATE.sha256
    assert state.values.keys() == STATE.values.keys()
    for name, value in STATE.values.items():
        assert np.array_equal(state.values[name], value)
        assert state.values[name].dtype == np.float32


def test_numpy_alone_reads_it(path):
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["bundle_sha256", "state_h", "state_w"]
        assert str(arrays["bundle_sha256"]) == STATE.sha256


def test_saving_again_replaces_it_and_leaves_nothing_else(path):
    State(STATE.sha256, {"h": np.zeros((1, 6), np.float32)}).save(path)
    assert State.load(path).values["h"].shape == (1, 6)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        STATE.save(tmp_path / "no such folder" / "session.npz")


def test_what_is_no_state_is_refused_in_a_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        State.load(tmp_path / "none.npz")
    path = tmp_path / "session.npz"
    np.savez(path, h=np.zeros(3))
    with pytest.raises(UserError, match="not a saved state"):
        State.load(path)
    for value in (np.array([[np.nan]], np.float32), np.zeros((1, 1)), np.array([["text"]])):
        np.savez(path, bundle_sha256="0" * 64, state_h=value)
        with pytest.raises(UserError, match="'h' is not finite float32"):
            State.load(path)
    np.savez(path, bundle_sha256="0" * 64, state_h=np.array([object()]))  # a pickle: never opened
    with pytest.raises(UserError, match="not a saved state"):
        State.load(path)
    np.savez_compressed(path, bundle_sha256="0" * 64, state_h=np.zeros(2**25, np.float32))
    with pytest.raises(UserError, match="larger than 64 MiB"):
        State.load(path)


def test_a_damaged_file_gives_the_same_state_or_is_refused(path):
    whole = path.read_bytes()
    rng = random.Random(0)
    loaded = 0
    for _ in range(300):
        path.write_bytes(damaged(whole, rng))
        try:
            state = State.load(path)
        except UserError:
            continue
        loaded += 1
        # Damaged was a part that only ZIP tools read.
        assert state.sha256 == STATE.sha256
        assert state.values.keys() == STATE.values.keys()
        assert all(np.array_equal(value, STATE.values[name]) for name, value in state.values.items())
    assert loaded < 200
