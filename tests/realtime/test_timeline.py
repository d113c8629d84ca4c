from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.timeline import _BLUE, _COLOURS, _runs, draw_timeline


def run(ticks: int, face: range, audio: range, mean: float = 0.5) -> list[Estimate]:
    return [
        Estimate(
            tick=tick,
            t=tick / 25,
            engagement=Engagement(mean, 0.1, 0.4, 0.6),
            present={"face": tick in face, "audio": tick in audio},
            age_ms={"face": 0.0 if tick in face else None, "audio": 0.0 if tick in audio else None},
            surprise={"face": 3.0 if tick in face else None, "audio": 60.0 if tick in audio else None},
        )
        for tick in range(ticks)
    ]


def columns(picture: np.ndarray, colour: str) -> int:
    """How many columns of the picture hold that very colour."""
    return int(np.any(np.all(np.abs(picture[..., :3] - to_rgb(colour)) < 0.01, axis=-1), axis=0).sum())


def test_strips_are_as_long_as_the_modalities_were_present(tmp_path):
    path = tmp_path / "engagement.png"
    draw_timeline(run(500, face=range(500), audio=range(250)), path, "a run")
    picture = imread(path)
    face, audio, mean = (columns(picture, colour) for colour in (*_COLOURS[:2], _BLUE))
    assert face == pytest.approx(mean, rel=0.1)  # the legend is blue, too
    assert audio == pytest.approx(face / 2, rel=0.02)
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_present_and_a_single_tick_are_drawn_too(tmp_path):
    for ticks in (1, 2, 50):
        path = tmp_path / f"{ticks}.png"
        draw_timeline(run(ticks, face=range(0), audio=range(0)), path, "nothing")
        assert columns(imread(path), _COLOURS[0]) == 0


def test_an_hour_is_drawn(tmp_path):
    path = tmp_path / "hour.png"
    draw_timeline(run(90_000, face=range(45_000), audio=range(10)), path, "an hour")
    assert path.stat().st_size < 200_000


@given(st.lists(st.booleans(), max_size=50))
def test_runs_are_the_stretches_of_presence(present):
    expected, at = [], 0
    for there, group in groupby(present):
        length = len(list(group))
        if there:
            expected.append((at, at + length - 1))
        at += length
    assert _runs(present) == expected


def test_a_picture_that_cannot_be_written_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        draw_timeline(run(2, range(2), range(2)), tmp_path / "nowhere" / "engagement.png", "a run")


def test_marks_are_drawn(tmp_path):
    plain, marked = tmp_path / "plain.png", tmp_path / "marked.png"
    draw_timeline(run(500, face=range(500), audio=range(500)), plain, "a run")
    marks = [(5.0, "smiles"), (10.0, "looks away")]
    draw_timeline(run(500, face=range(500), audio=range(500)), marked, "a run", marks)
    changed = np.any(imread(plain) != imread(marked), axis=(0, 2))
    assert 10 < changed.sum() < 60  # two lines and their words, upright


TEXTS = [
    "$_$",
    r"$\frac$",
    "a\0b\x1b[2J\n",
    "{{data}}",
    "\ud800",
    "äöü 🙂 \u202e",
    "x" * 100_000,
    "\\",
    "%s {0}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_drawn_as_it_is(tmp_path, text):
    one = Estimate(0, 0.0, Engagement(0.5, 0.1, 0.4, 0.6), {text: True}, {text: 0.0}, {text: 1e308})
    draw_timeline([one], tmp_path / "a.png", text, [(0.0, text)])
    assert imread(tmp_path / "a.png").shape[1] == 1200


def test_ticks_at_the_same_time_and_many_marks_are_drawn(tmp_path):
    estimates = [*run(1, range(1), range(1)) * 5]
    draw_timeline(estimates, tmp_path / "a.png", "", [(k / 1000, "a mark") for k in range(20_000)])
    assert imread(tmp_path / "a.png").shape[1] == 1200
