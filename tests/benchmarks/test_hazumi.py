from functools import partial

import numpy as np
import pytest

from benchmarks.datasets.hazumi import FACE, QUESTIONS, VOICE, load_hazumi
from benchmarks.datasets.hazumi_steps import PRIOR, Steps, running
from enrapt.contracts.errors import UserError
from tests.support.hazumi_tables import HEADER, line, write_tables


@pytest.fixture
def tables(tmp_path):
    return partial(write_tables, tmp_path)


def test_exchanges_become_sessions_in_their_order(tables):
    paths = tables(
        line("b", 1, 3000, "", 9000, (1, 2, 3, 4, 5, 7, 6, 5, 4, 3)),
        line("a", 0, person="q", corpus="d"),
        line("b", 0, 0, 1000, 3000, (4,) * 9 + ("",)),
    )
    b, a = load_hazumi(*paths)
    assert (b.name, b.person, b.corpus, a.person, a.corpus) == ("b", "p", "c", "q", "d")
    assert b.number.tolist() == [0, 1]
    np.testing.assert_array_equal(b.times, [[0, 1, 3], [3, np.nan, 9]])
    assert b.ratings["enjoyment"][1].tolist() == [1, 2, 3, 4, 5]
    assert b.ratings["topic"][1].tolist() == [7, 6, 5, 4, 3]
    np.testing.assert_array_equal(b.ratings["topic"][0], [4, 4, 4, 4, np.nan])
    assert b.x["voice"].shape == (2, VOICE)
    assert b.x["face"].shape == (2, FACE)
    np.testing.assert_array_equal(b.x["voice"][:, 0], [3, 1])  # rows follow their lines


def test_a_face_that_was_not_found_and_a_silent_voice_are_missing(tables):
    x = np.ones((3, VOICE + FACE))
    x[0, VOICE : VOICE + 18] = 0  # all action units
    x[1, :VOICE] = 0
    x[2, VOICE] = np.nan
    (session,) = load_hazumi(*tables(*(line(exchange=i) for i in range(3)), x=x))
    assert np.isnan(session.x["face"]).all(1).tolist() == [True, False, True]
    assert np.isnan(session.x["voice"]).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("spoken", [-1000, 3001, 1_000_000])
def test_an_end_of_the_agents_turn_outside_the_exchange_is_unknown(tables, spoken):
    (session,) = load_hazumi(*tables(line(spoken=spoken)))
    assert np.isnan(session.times).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "no exchange"),
        (("a,b",), "line 2: 2 columns, expected 18"),
        ((line(), line(start="x")), "line 3: could not convert"),
        ((line(start=5, end=4),), "line 2: an exchange from 5 to 4 ms"),
        ((line(end=""),), "line 2: an exchange from 0 to nan ms"),
        ((line(answers=(8,) * 10),), "line 2: an answer of 8, expected 1 to 7"),
        ((line(), line(person="other")), "session s has several people"),
    ],
)
def test_an_invalid_table_is_rejected_with_its_line(tables, lines, message):
    with pytest.raises(UserError, match=rf"exchanges\.csv\.gz.*{message}"):
        load_hazumi(*tables(*lines))


def test_columns_that_are_missing_are_named(tables):
    with pytest.raises(UserError, match="no column end_ms, topic_r5; found corpus"):
        load_hazumi(*tables(header=HEADER.replace("end_ms,enjoy", "ends,enjoy").replace("topic_r5", "t")))


def test_features_that_do_not_fit_are_rejected(tables, tmp_path):
    with pytest.raises(UserError, match=r"2 rows, but .* has 1 exchanges"):
        load_hazumi(*tables(line(), x=np.ones((2, VOICE + FACE))))
    with pytest.raises(UserError, match="3 names, expected 450 columns"):
        load_hazumi(*tables(line(), x=np.ones((1, 3))))
    names = [f"AU{i}" for i in range(VOICE + FACE)]
    np.savez(tmp_path / "features.npz", x=np.ones((1, VOICE + FACE)), names=names)
    with pytest.raises(UserError, match="expected 384 columns of voice, then 66 of face"):
        load_hazumi(tmp_path / "exchanges.csv.gz", tmp_path / "features.npz")


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 damaged"])
def test_an_unreadable_file_is_rejected(tables, tmp_path, content):
    exchanges, features = tables(line())
    for path, message in ((features, "expected Hazumi's features"), (exchanges, "expected Hazumi's table")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        if content == b"" and path == exchanges:  # an empty stream of gzip has no header
            message = "no column corpus"
        with pytest.raises(UserError, match=message):
            load_hazumi(exchanges, features)


def test_running_moments_are_those_of_the_past_and_of_others():
    x = np.random.default_rng(0).normal(3, 2, (40, 2))
    found = running(x, prior=10.0)
    t = 7  # eight exchanges
    mean = x[: t + 1].sum(0) / (10 + t + 1)
    variance = (10 + (x[: t + 1] ** 2).sum(0)) / (10 + t + 1) - mean**2
    np.testing.assert_allclose(found[t], (x[t] - mean) / np.sqrt(variance))
    changed = x.copy()
    changed[20:] += 100
    np.testing.assert_array_equal(running(changed, 10.0)[:20], found[:20])


def test_a_missing_value_does_not_count_in_running_moments():
    x = np.array([[1.0], [np.nan], [2.0]])
    np.testing.assert_allclose(running(x)[[0, 2]], running(x[[0, 2]]))
    assert np.isnan(running(x)[1]).all()


def sessions(tables, *lines):
    rng = np.random.default_rng(1)
    return load_hazumi(*tables(*lines, x=rng.normal(2, 3, (len(lines), VOICE + FACE))))


def test_steps_are_padded_and_causal(tables):
    lines = [line("a", i, 4000 * i, 4000 * i + 1000, 4000 * i + 2500 + 300 * i) for i in range(6)]
    lines += [line("b", i, person="q") for i in range(3)]
    data = sessions(tables, *lines)
    steps = Steps(data)
    batch = steps(data)
    assert {m: v.shape[-1] for m, v in batch.x.items()} == steps.dims
    for m in ("face", "voice", "clock", "length", *QUESTIONS):
        assert batch.available[m].sum(1).tolist() == [6, 3]
    early = steps([s._replace(**_first(s, 2)) for s in data])
    for m, x in early.x.items():
        np.testing.assert_array_equal(x, batch.x[m][:, :2])


def _first(session, n):
    parts = {field: getattr(session, field)[:n] for field in ("number", "times")}
    return parts | {f: {k: v[:n] for k, v in getattr(session, f).items()} for f in ("ratings", "x")}


def test_a_persons_second_session_goes_on_with_what_is_known_of_them(tables):
    both = sessions(tables, *(line(s, i) for s in ("a", "b") for i in range(4)))
    steps = Steps(both)
    together, alone = steps(both).x["voice"][1], steps(both[1:]).x["voice"][0]
    assert not np.allclose(together, alone)
    mean, std = steps.moments["voice"]
    x = (np.concatenate([s.x["voice"] for s in both]) - mean) / std
    np.testing.assert_allclose(together, running(x.clip(-5, 5), PRIOR)[4:].clip(-5, 5), rtol=1e-4, atol=1e-5)


def test_raters_of_an_unknown_corpus_are_none_of_the_known(tables):
    data = sessions(tables, line("a", corpus="c"), line("b", corpus="d", person="q"))
    steps = Steps(data[:1])
    np.testing.assert_array_equal(steps(data).x["clock"][:, 0, 6:], [[1], [0]])


def test_the_real_data_set_is_complete(shared):
    folder = shared / "hazumi"
    if not folder.is_dir():
        pytest.skip("no ../shared/hazumi")
    data = load_hazumi(folder / "exchanges.csv.gz", folder / "features.npz")
    assert len({s.person for s in data}) == 147
    assert sum(len(s.number) for s in data) == 14_641
    assert np.mean(np.concatenate([np.isnan(s.x["face"][:, 0]) for s in data])) < 0.001
