"""Whom to follow: policies, the first second, and when another person is taken."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.face.person import SETTLE, Follower
from enrapt.realtime.streams.samples import SECOND

WIDTH = 640


@dataclass
class Fake:
    """Stands for a tracked face."""

    id: int
    x: float = 320.0
    width: float = 100.0
    region: SimpleNamespace = field(init=False)

    def __post_init__(self):
        self.region = SimpleNamespace(x=self.x)


def chosen(follower, *pictures, every=SECOND // 25):
    """Ids of the chosen faces in pictures, each a list of faces."""
    faces = [follower.choose(list(p), WIDTH, k * every) for k, p in enumerate(pictures)]
    return [None if face is None else face.id for face in faces]


THREE = (Fake(1, 500, 80), Fake(2, 300, 90), Fake(3, 100, 120))


@pytest.mark.parametrize(
    ("policy", "expected"), [("largest", 3), ("first", 1), ("left", 3), ("right", 1), ("centre", 2)]
)
def test_policies(policy, expected):
    follower = Follower(policy)
    assert chosen(follower, THREE, THREE[::-1]) == [expected, expected]
    assert follower.person == expected


def test_without_anybody_there_is_no_choice():
    follower = Follower()
    assert chosen(follower, [], []) == [None, None]
    assert follower.person is None


def test_in_the_first_second_a_better_one_replaces_the_choice_and_later_not():
    small, large, larger = Fake(1, width=50), Fake(2, width=100), Fake(3, width=200)
    follower = Follower()
    assert follower.choose([small], WIDTH, 0) is small
    assert follower.choose([small, large], WIDTH, SETTLE - 1) is large
    assert follower.choose([small, large, larger], WIDTH, SETTLE) is large  # the second is not begun anew
    assert follower.choose([small, large, larger], WIDTH, 100 * SECOND) is large


@pytest.mark.parametrize("policy", ["largest", "first", "left", "right", "centre"])
def test_whoever_is_followed_is_not_exchanged_for_one_who_fits_better(policy):
    follower = Follower(policy)
    (person,) = set(chosen(follower, *[THREE] * 30))
    moved = [Fake(4, 0, 500), Fake(0, 640, 400), *(Fake(f.id, 640 - f.x, 300 - f.width) for f in THREE)]
    assert follower.choose(moved, WIDTH, 100 * SECOND).id == person


def test_a_face_without_id_is_never_chosen():
    follower = Follower()
    assert chosen(follower, [Fake(0, width=500)], [Fake(0, width=500), Fake(1)]) == [None, 1]


def test_without_handover_nobody_takes_over():
    follower = Follower()
    one, other = Fake(1), Fake(2)
    assert follower.choose([one], WIDTH, 0) is one
    for second in range(2, 4000, 100):
        assert follower.choose([other], WIDTH, second * SECOND) is None
    assert follower.person == 1
    assert follower.choose([other, one], WIDTH, 5000 * SECOND) is one


@pytest.mark.parametrize("seconds", [0.0, 0.5, 10.0])
def test_after_the_handover_another_one_does(seconds):
    follower = Follower(handover=seconds)
    one, other, third = Fake(1), Fake(2, width=50), Fake(3, width=200)
    late = 10 * SECOND
    assert follower.choose([one], WIDTH, 0) is one
    assert follower.choose([one, other], WIDTH, late) is one
    gone = late + round(seconds * SECOND)
    if seconds:
        assert follower.choose([other], WIDTH, gone - 1) is None
    assert follower.choose([], WIDTH, gone) is None  # nobody there
    assert follower.person == 1
    assert follower.choose([other], WIDTH, gone + 1) is other
    assert follower.person == 2
    assert follower.choose([other, third], WIDTH, gone + 1 + SETTLE) is other  # and is kept


def test_who_is_back_before_the_handover_begins_it_anew():
    follower, one, other = Follower(handover=1.0), Fake(1), Fake(2, width=500)
    assert follower.choose([one], WIDTH, 0) is one
    time = 2 * SECOND
    for _ in range(10):
        assert follower.choose([one], WIDTH, time) is one
        assert follower.choose([other], WIDTH, time + SECOND - 1) is None
        time += SECOND


def test_an_id_is_followed_from_its_appearance():
    follower = Follower(2)
    assert follower.person == 2
    assert chosen(follower, [THREE[0]], THREE[:2], THREE, []) == [None, 2, 2, None]


def test_an_id_with_handover_that_never_comes():
    follower, other = Follower(7, handover=2.0), Fake(1)
    assert follower.choose([other], WIDTH, 5 * SECOND) is None
    assert follower.choose([other], WIDTH, 7 * SECOND - 1) is None
    assert follower.choose([other], WIDTH, 7 * SECOND) is other


def test_follow_takes_a_person_at_once_and_keeps_to_it():
    follower = Follower()
    assert chosen(follower, THREE) == [3]
    follower.follow(1)
    assert follower.person == 1
    assert chosen(follower, THREE, THREE[1:], THREE) == [1, None, 1]


def test_follow_somebody_who_is_not_in_view_is_missing():
    follower = Follower()
    assert chosen(follower, THREE) == [3]
    follower.follow(9)
    assert [follower.choose(THREE, WIDTH, k * SECOND) for k in range(1, 100)] == [None] * 99
    assert follower.choose([*THREE, Fake(9)], WIDTH, 100 * SECOND).id == 9


def test_follow_begins_the_handover():
    """The one who is asked for is given as long as one who left."""
    follower = Follower(handover=1.0)
    for k in range(50):
        follower.choose([Fake(1)], WIDTH, k * SECOND)
    follower.follow(2)
    assert follower.choose([Fake(1)], WIDTH, 49 * SECOND + SECOND // 2) is None
    assert follower.choose([Fake(1)], WIDTH, 51 * SECOND).id == 1


@pytest.mark.parametrize("person", ["tallest", "", "Largest", 0, -1, 1.5, None])
def test_other_people_are_an_error(person):
    with pytest.raises(UserError, match="largest, first, left, right, centre or an id"):
        Follower(person)


@pytest.mark.parametrize("handover", [-1, math.inf, math.nan])
def test_other_handovers_are_an_error(handover):
    with pytest.raises(UserError, match="or None for never"):
        Follower(handover=handover)


people = st.lists(st.integers(0, 4), max_size=4, unique=True)


@given(
    st.sampled_from(["largest", "first", "left", "right", "centre", 2]),
    st.one_of(st.none(), st.floats(0, 3)),
    st.lists(st.tuples(people, st.integers(1, 3000)), max_size=40),
)
def test_whoever_is_given_is_in_view_and_is_the_person(policy, handover, stream):
    follower, time, before, seen = Follower(policy, handover), 0, None, 0
    first = None
    for ids, ms in stream:
        time += ms * SECOND // 1000
        faces = [Fake(i, 100.0 * i, 50.0 + 7 * i) for i in ids]
        face = follower.choose(faces, WIDTH, time)
        assert face is None or (face in faces and face.id == follower.person > 0)
        if face is None:
            assert follower.person not in ids
        if follower.person != before and before is not None:
            waited = handover is not None and time - seen >= handover * SECOND - 1
            assert waited or (first is not None and time - first < SETTLE)
        if follower.person != before and (before is None or before not in ids):
            first = time
        if follower.person in ids or (before is None and follower.person is None):
            seen = time
        before = follower.person
