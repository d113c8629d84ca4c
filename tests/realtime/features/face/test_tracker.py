"""Each person keeps an id: crossing, covered, gone; nobody gets the id of another one."""

from collections.abc import Iterable

import av
import cv2
import pytest

from enrapt.realtime.features.face.networks import Networks
from enrapt.realtime.features.face.tracker import CERTAIN, Tracker
from enrapt.realtime.streams.samples import SECOND
from tests.support.faces import FRAME, Picture, head, scene

STEP = 2 * FRAME  # 12.5 pictures/s
ONE, OTHER, THIRD = head(), head(0.82), head(1.25)
LEFT, RIGHT = 200, 600
EMPTY = scene()


@pytest.fixture(scope="module")
def networks(face_model):
    return Networks(face_model)


def tracked(
    tracker: Tracker, stream: Iterable[Picture], begin: int = 0, step: int = STEP
) -> list[dict[int, int]]:
    """Of each picture, where (x) the faces are, by id."""
    return [
        {face.id: round(face.region.x) for face in tracker.track(picture, begin + (k + 1) * step)}
        for k, picture in enumerate(stream)
    ]


def near(places: dict[int, int], x: float) -> int:
    """Id of the face that is there."""
    (found,) = (face for face, at in places.items() if abs(at - x) < 60)
    return found


def test_nobody(networks):
    tracker = Tracker(networks)
    assert tracked(tracker, [EMPTY] * 5) == [{}] * 5
    assert tracker.faces == []


def test_ids_count_from_1_and_stay(networks):
    stream = [scene((ONE, LEFT + k), (OTHER, RIGHT - k)) for k in range(15)]
    found = tracked(Tracker(networks), stream)
    assert all(places.keys() == {1, 2} for places in found)
    assert len({near(places, LEFT) for places in found}) == 1


def test_a_newcomer_is_noticed_within_a_second(networks):
    tracker = Tracker(networks)
    assert [*tracked(tracker, [scene((ONE, LEFT))] * 5)[-1]] == [1]
    found = tracked(tracker, [scene((ONE, LEFT), (OTHER, RIGHT))] * 14, 5 * STEP)
    assert near(found[-1], LEFT) == 1
    assert near(found[-1], RIGHT) == 2


@pytest.mark.parametrize("front", ["one", "other"])
def test_two_who_cross_keep_their_ids(networks, front):
    """3 s; in the middle one covers the other."""
    n = 36
    ways = [((ONE, LEFT + (RIGHT - LEFT) * k / n), (OTHER, RIGHT - (RIGHT - LEFT) * k / n)) for k in range(n)]
    stream = [scene(*(way if front == "other" else way[::-1])) for way in ways]
    stream += [stream[-1]] * 14
    found = tracked(Tracker(networks), stream)
    one, other = near(found[0], LEFT), near(found[0], RIGHT)
    assert {one, other} == {1, 2}
    assert min(len(places) for places in found) == 1  # one was covered
    for places, ((_, x), (_, y)) in zip(found, ways, strict=False):
        if abs(x - y) > 150:  # apart
            assert places.get(one, x) == pytest.approx(x, abs=60)
            assert places.get(other, y) == pytest.approx(y, abs=60)
    assert near(found[-1], RIGHT) == one
    assert near(found[-1], LEFT) == other


@pytest.mark.parametrize("covered", [1, 13, 40])
def test_who_was_covered_has_the_same_id_and_the_other_never_takes_it(networks, covered):
    both, alone = scene((ONE, LEFT), (OTHER, RIGHT)), scene((OTHER, RIGHT))
    tracker = Tracker(networks)
    before = tracked(tracker, [both] * 12)[-1]
    one, other = near(before, LEFT), near(before, RIGHT)
    during = tracked(tracker, [alone] * covered, 12 * STEP)
    assert all([*places] == [other] for places in during)
    after = tracked(tracker, [both] * 14, (12 + covered) * STEP)
    assert near(after[-1], LEFT) == one
    assert all(near(places, RIGHT) == other for places in after)
    assert all(set(places) <= {one, other, 0} for places in after)


def test_who_was_seen_in_one_picture_only_is_known_again(networks):
    tracker = Tracker(networks)
    stream = [scene((ONE, LEFT)), EMPTY, scene((ONE, LEFT)), scene((ONE, LEFT))]
    assert [[*places] for places in tracked(tracker, stream)] == [[1], [], [1], [1]]


def test_who_comes_back_elsewhere_has_the_same_id(networks):
    tracker = Tracker(networks)
    found = tracked(tracker, [scene((ONE, LEFT))] * 15 + [EMPTY] * 10 + [scene((ONE, RIGHT))] * 15)
    assert near(found[-1], RIGHT) == near(found[0], LEFT) == 1


@pytest.mark.parametrize(("away", "who"), [(13, THIRD), (40, OTHER), (0, THIRD)])
def test_another_person_at_the_same_place_gets_a_new_id(networks, away, who):
    """After a second of nobody, after longer, and by a cut."""
    stream = [scene((ONE, LEFT))] * 15 + [EMPTY] * away + [scene((who, LEFT))] * (CERTAIN + 5)
    found = tracked(Tracker(networks), stream)
    assert [*found[14]] == [1]
    after = [[*places] for places in found[15 + away :]]
    assert [1] not in after
    assert after[-1] == [2]


def test_a_cut_to_another_person_elsewhere(networks):
    tracker = Tracker(networks)
    found = tracked(tracker, [scene((ONE, LEFT))] * 15 + [scene((THIRD, RIGHT))] * (CERTAIN + 5))
    assert all([*places] == [1] for places in found[:15])
    assert all(1 not in places for places in found[15:])
    assert near(found[-1], RIGHT) == 2


def test_an_absent_one_is_forgotten_after_a_minute(networks):
    tracker = Tracker(networks)
    tracked(tracker, [scene((ONE, LEFT))] * 12)
    tracked(tracker, [EMPTY] * 61, 12 * STEP, SECOND)
    assert [*tracked(tracker, [scene((ONE, LEFT))], 70 * SECOND)[0]] == [2]


def test_no_more_than_wanted(networks):
    tracker = Tracker(networks, most=1)
    found = tracked(tracker, [scene((ONE, LEFT), (OTHER, RIGHT))] * 8)
    assert all([*places] == [1] for places in found)


def test_two_detections_of_one_face_are_one(networks):
    """Looking for newcomers every half second adds nobody to a face that moves."""
    found = tracked(Tracker(networks), [scene((ONE, LEFT + 10 * k)) for k in range(40)])
    assert all([*places] == [1] for places in found)


# Real people


def clip(path):
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("front", "behind"),
    [
        ("grid_bbaf2n", "grid_lbbc2a"),
        ("grid_lbbc2a", "grid_bbaf2n"),
        ("grid_brbk7n", "grid_pwij3p"),
        ("grid_pwij3p", "grid_brbk7n"),
    ],
)
def test_speakers_who_cross_keep_their_ids(networks, shared, front, behind):
    front, behind = (clip(shared / "clips" / f"{name}.mpg") for name in (front, behind))

    def person(pictures, k):
        """Forwards and backwards through the clip; head and shoulders, 300×360."""
        k %= 2 * len(pictures) - 2
        picture = pictures[min(k, 2 * len(pictures) - 2 - k)]
        return cv2.resize(picture[:, 60:300], (300, 360))

    n = 100
    stream = [
        scene((person(behind, k), 790 - 600 * k / n), (person(front, k), 190 + 600 * k / n), size=(360, 960))
        for k in range(n)
    ]
    found = tracked(Tracker(networks), stream + stream[-1:] * 20, step=FRAME)
    first, second = near(found[5], 190 + 30), near(found[5], 790 - 30)
    assert near(found[-1], 784) == first
    assert near(found[-1], 196) == second
    assert set().union(*found) <= {0, first, second}


@pytest.mark.long
def test_the_one_who_is_left_never_takes_the_id_of_the_one_who_was_covered(networks, shared):
    pictures = clip(shared / "cases" / "02_other_person" / "two.mp4")
    found = tracked(Tracker(networks), pictures, step=FRAME)
    assert {len(places) for places in found} == {1, 2}
    ids = set().union(*found) - {0}
    assert len(ids) == 2
    for person in ids:  # each stays on its side
        x = [places[person] for places in found if person in places]
        assert max(x) - min(x) < pictures[0].shape[1] / 4
    both = [k for k, places in enumerate(found) if len(places) == 2]
    assert found[both[0]].keys() == found[both[-1]].keys() == ids
