from itertools import groupby

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.timeline import (
    _BLUE,
    _COLOURS,
    PEOPLE,
    Strip,
    _runs,
    by_person,
    draw_strips,
    draw_timeline,
    stretches,
    together,
    unused,
)
from enrapt.realtime.truth import Truth


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


def test_what_is_known_is_drawn_where_it_is(tmp_path):
    plain, known = tmp_path / "plain.png", tmp_path / "known.png"
    estimates = run(500, face=range(500), audio=range(500))
    draw_timeline(estimates, plain, "a run")
    draw_strips([Strip("", estimates, truth=Truth("truth", [0.0, 10.0], [0.9, 0.9]))], known, "a run")
    changed = np.any(imread(plain) != imread(known), axis=-1)
    line = int(np.argmax(changed.sum(1)))
    assert 450 < changed[line].sum() < 600  # the first 10 of 20 s
    mean = np.argmax(np.all(np.abs(imread(known)[..., :3] - to_rgb(_BLUE)) < 0.01, axis=-1).sum(1))
    assert line < mean - 50  # 0.9 is above 0.5


def test_a_known_value_holds_until_the_next():
    truth = Truth("truth", [1.0, 2.0, 4.0], [0.1, 0.2, 0.3])
    assert [truth.at(t) for t in (0.0, 1.0, 1.9, 2.0, 3.9, 4.0, 9.0)] == [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]


def test_marks_at_the_same_time_share_a_label():
    marks = [(5.0, "b"), (2.0, "a"), (5.01, "c"), (5.05, "d"), (7.0, "e")]
    assert together(marks, 0.02) == [(2.0, "a"), (5.0, "b, c"), (5.05, "d"), (7.0, "e")]
    ((_, label),) = together([(0.0, "word")] * 100_000, 0.0)
    assert len(label) < 100


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


def of(person: int | None, estimates: list[Estimate], **view) -> list[Estimate]:
    return [msgspec.structs.replace(e, faces=2, person=person, **view) for e in estimates]


def at_each_tick(*people: list[Estimate]) -> list[Estimate]:
    return [estimate for tick in zip(*people, strict=True) for estimate in tick]


def test_several_people_have_a_strip_each(tmp_path):
    one, two = of(1, run(500, range(500), range(500))), of(2, run(500, range(250), range(0)))
    path = tmp_path / "a.png"
    draw_timeline(at_each_tick(one, two), path, "two")
    picture = imread(path)
    halves = np.split(picture[: len(picture) // 2 * 2], 2)
    first, second = (columns(half, _COLOURS[0]) for half in halves)
    assert second == pytest.approx(first / 2, rel=0.02)
    assert columns(halves[0], _COLOURS[1]) > 0
    assert columns(halves[1], _COLOURS[1]) == 0


def test_estimates_are_of_several_people_only_where_a_tick_has_several():
    one, two = of(1, run(4, range(4), range(4))), of(2, run(4, range(4), range(4)))
    nobody = of(None, run(2, range(0), range(0)))
    assert by_person(one[:2] + two[2:]) == {None: one[:2] + two[2:]}
    assert by_person(nobody) == {None: nobody}
    assert by_person([*nobody, *at_each_tick(two, one)]) == {1: one, 2: two}


def test_of_very_many_people_those_with_the_most_estimates_are_drawn(tmp_path):
    people = [of(p + 1, run(2 + p % 3, range(9), range(9))) for p in range(3 * PEOPLE)]
    estimates = sorted((e for person in people for e in person), key=lambda e: e.tick)
    drawn = by_person(estimates)
    assert len(drawn) == PEOPLE
    assert {len(own) for own in drawn.values()} == {4}
    draw_timeline(estimates, tmp_path / "many.png", "a crowd")


def test_a_change_of_the_followed_person_is_marked(tmp_path):
    estimates = run(500, range(500), range(500))
    same, changed = tmp_path / "same.png", tmp_path / "changed.png"
    draw_timeline(of(1, estimates, box=(0, 0, 1, 1)), same, "a run")
    two = of(None, estimates[:10]) + of(1, estimates[10:250]) + of(2, estimates[250:])
    draw_timeline([msgspec.structs.replace(e, box=(0, 0, 1, 1)) for e in two], changed, "a run")
    assert stretches(two) == [(0.4, "person 1"), (10.0, "person 2")]
    assert stretches(of(1, estimates)) == []
    different = np.any(imread(same) != imread(changed), axis=(0, 2))
    assert 10 < different.sum() < 60


def test_it_says_that_a_face_is_in_view_that_is_not_taken(tmp_path):
    estimates = run(500, range(250), range(500))
    box, path = (0.1, 0.1, 0.2, 0.2), tmp_path / "a.png"
    draw_timeline(of(1, estimates[:250], box=box) + of(1, estimates[250:]), path, "a run")
    grey = columns(imread(path), "0.6")
    draw_timeline(of(1, estimates, box=box), path, "a run")
    assert columns(imread(path), "0.6") < 100 < 300 < grey
    (gone,), (poor,) = of(1, estimates[:1]), of(1, estimates[:1], box=box, face_problem="too small")
    assert unused(gone, alone=True) == "another person's is in view"
    assert unused(gone, alone=False) is None
    assert unused(poor, alone=True) == unused(poor, alone=False) == "too small"
