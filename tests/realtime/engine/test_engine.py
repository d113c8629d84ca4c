import msgspec
import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.state import State

FACE_VALUES = np.full(FACE.dim, 2.0, np.float32)
AUDIO_VALUES = np.full(AUDIO.dim, 3.0, np.float32)


@pytest.fixture
def engine(tiny_bundle):
    return Engine(Bundle.load(tiny_bundle))


def test_a_step_tells_the_model_what_is_there(engine):
    # The tiny bundle: 0.2, and 0.4 with a face, 0.2 with audio; surprise is the mean of the values.
    both = engine.step({"face": FACE_VALUES, "audio": AUDIO_VALUES})
    assert both.mean == pytest.approx(0.8)
    assert (both.low, both.high) == pytest.approx((0.7, 0.9))
    assert both.surprise == {"face": 2.0, "audio": 3.0}
    face = engine.step({"face": FACE_VALUES, "audio": None})
    assert face.mean == pytest.approx(0.6)
    assert face.surprise == {"face": 2.0, "audio": None}
    assert engine.step({}).mean == pytest.approx(0.2)


def test_the_state_is_carried_along_and_forgotten_at_a_reset(engine):
    # Its standard deviation is a thousandth of the ticks since the start.
    assert [engine.step({}).std for _ in range(5)] == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    engine.reset()
    assert engine.step({}).std == pytest.approx(0.001)
    engine.reset()
    assert engine.step({}).std == pytest.approx(0.001)


def test_the_callers_arrays_are_its_own(engine):
    values = FACE_VALUES.copy()
    engine.step({"face": values})
    values[:] = 9
    assert engine.step({"face": FACE_VALUES}).surprise["face"] == 2.0
    assert (values == 9).all()


def test_what_does_not_fit_is_named(engine):
    with pytest.raises(ValueError, match=r"unknown modalities \['gait'\]"):
        engine.step({"gait": FACE_VALUES})
    with pytest.raises(ValueError, match=r"face has shape \(3,\), expected \(57,\)"):
        engine.step({"face": np.zeros(3, np.float32)})


STREAMS, TICKS = 5, 40


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("default")


@pytest.fixture(scope="module")
def seen():
    """What each of several streams sees at each tick, either modality missing now and then."""
    rng = np.random.default_rng(0)

    def maybe(dim):
        return rng.normal(size=dim).astype(np.float32) if rng.random() < 0.7 else None

    return [
        [{"face": maybe(FACE.dim), "audio": maybe(AUDIO.dim)} for _ in range(STREAMS)] for _ in range(TICKS)
    ]


def same_state(a: State, b: State) -> bool:
    """To the bit."""
    return a.sha256 == b.sha256 and {k: v.tobytes() for k, v in a.values.items()} == {
        k: v.tobytes() for k, v in b.values.items()
    }


def test_streams_side_by_side_give_what_each_gives_alone(bundle, seen):
    together = Engine(bundle, STREAMS)
    alone = [Engine(bundle) for _ in range(STREAMS)]
    for tick in seen:
        steps = together.step_streams(tick)
        for engine, values, step in zip(alone, tick, steps, strict=True):
            single = engine.step(values)
            assert step[:4] == pytest.approx(single[:4], abs=1e-6)
            for name, nats in single.surprise.items():
                assert step.surprise[name] == (nats if nats is None else pytest.approx(nats, rel=1e-5))
    states = [engine.state.values["h"][0] for engine in alone]
    np.testing.assert_allclose(together.state.values["h"], states, atol=1e-6)


def test_a_stream_masked_out_is_as_if_the_call_had_never_happened(bundle, seen):
    """Whatever the others do, and however often."""
    rng = np.random.default_rng(1)
    sometimes, always = Engine(bundle, STREAMS), Engine(bundle, STREAMS)
    told = {row: [] for row in range(STREAMS)}
    for tick in seen:
        before = sometimes.state.values["h"]
        active = rng.random(STREAMS) < 0.5
        steps = sometimes.step_streams([v if a else None for v, a in zip(tick, active, strict=True)])
        after = sometimes.state.values["h"]
        assert [step is not None for step in steps] == active.tolist()
        assert (before[~active] == after[~active]).all()
        assert (before[active] != after[active]).any(1).all()
        for row in np.flatnonzero(active):
            told[row].append((tick[row], steps[row]))
    # Each stream has had its own number of ticks, and told the same as one that never had to wait.
    for row, lived in told.items():
        always.reset()
        for values, step in lived:
            others = [{}] * STREAMS
            others[row] = values
            assert always.step_streams(others)[row] == step
        assert (always.state.values["h"][row] == sometimes.state.values["h"][row]).all()


def test_a_reset_of_one_stream_leaves_the_others(bundle, seen):
    engine, fresh = Engine(bundle, STREAMS), Engine(bundle, STREAMS)
    for tick in seen[:5]:
        engine.step_streams(tick)
    before = engine.state.values["h"]
    engine.reset(2)
    after = engine.state.values["h"]
    others = np.arange(STREAMS) != 2
    assert (after[others] == before[others]).all()
    assert (after[2] == 0).all()
    assert engine.step_streams(seen[5])[2] == fresh.step_streams(seen[5])[2]


def test_a_session_continued_from_a_file_gives_the_same_to_the_bit(bundle, seen, tmp_path):
    path = tmp_path / "session.npz"
    whole = Engine(bundle)
    first = [whole.step(tick[0]) for tick in seen[:13]]
    whole.state.save(path)
    later = [whole.step(tick[0]) for tick in seen[13:]]

    again = Engine(bundle)
    assert [again.step(tick[0]) for tick in seen[:13]] == first
    continued = Engine(Bundle.load("default"))
    continued.state = State.load(path)
    assert [continued.step(tick[0]) for tick in seen[13:]] == later
    assert same_state(continued.state, whole.state)
    assert [p.name for p in tmp_path.iterdir()] == ["session.npz"]


def test_several_streams_continue_too(bundle, seen, tmp_path):
    whole, continued = Engine(bundle, STREAMS), Engine(bundle, STREAMS)
    for tick in seen[:12]:
        whole.step_streams(tick)
    whole.state.save(tmp_path / "session.npz")
    continued.state = State.load(tmp_path / "session.npz")
    for tick in seen[12:]:
        assert continued.step_streams(tick) == whole.step_streams(tick)


def test_a_state_is_a_copy(engine):
    state = engine.state
    engine.step({})
    assert state.values["ticks"][0, 0] == 0
    engine.state = state
    engine.step({})
    assert state.values["ticks"][0, 0] == 0


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(bundle, engine, tiny_bundle):
    engine.step({})
    kept = engine.state
    ticks = np.zeros((1, 1), np.float32)
    for state, said in (
        (Engine(bundle).state, "of the bundle of sha256"),
        (Engine(Bundle.load(tiny_bundle), 3).state, r"'ticks' is \[3, 1\], but the engine's \[1, 1\]"),
        (State(kept.sha256, {"ticks": ticks, "mood": ticks}), r"only one of .* \['mood'\]"),
        (State(kept.sha256, {}), r"only one of .* \['ticks'\]"),
    ):
        with pytest.raises(UserError, match=said):
            engine.state = state
        assert same_state(engine.state, kept)


def test_an_engine_of_several_streams_says_how_it_is_stepped(tiny_bundle):
    engine = Engine(Bundle.load(tiny_bundle), 3)
    with pytest.raises(ValueError, match="3 streams; use step_streams"):
        engine.step({})
    with pytest.raises(ValueError, match="2 entries for 3 streams"):
        engine.step_streams([{}, {}])
    with pytest.raises(ValueError, match="at least one stream"):
        Engine(Bundle.load(tiny_bundle), 0)
    with pytest.raises(ValueError, match="unknown modalities"):
        engine.step_streams([{}, None, {"gait": FACE_VALUES}])
    assert (engine.state.values["ticks"] == 0).all()


def test_a_graph_that_is_not_a_step_is_refused(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    bundle.metadata = msgspec.structs.replace(bundle.metadata, graph="block")
    with pytest.raises(UserError, match="its graph is a 'block' one"):
        Engine(bundle)
