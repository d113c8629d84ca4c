"""Several people at the same time: one clock, a session each, and what fails stays with its person."""

import json
import time

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime import Group, LiveSession, Pushed
from enrapt.realtime.store.group import Member, read_group
from enrapt.realtime.store.reader import SessionReader
from tests.support.devices import FakeDevice

pytestmark = pytest.mark.live


@pytest.fixture
def people(tiny_bundle):
    """Sessions of people by their devices."""

    def made(**devices):
        return {
            name: LiveSession(None, None, devices=[device], bundle=tiny_bundle, warn=lambda line: None)
            for name, device in devices.items()
        }

    return made


def pushed():
    return Pushed("face", schema="face/1")


def test_a_moment_is_the_same_time_in_the_session_of_each(people, tmp_path):
    devices = {"anna": pushed(), "ben": pushed()}
    with Group(people(**devices), tmp_path / "pair") as group:
        time.sleep(0.3)  # whatever passes before the start
        group.start()
        for k in range(20):
            now = time.monotonic_ns()
            for device in devices.values():
                device.push(np.full(FACE.dim, k, np.float32), now)
            if k == 10:
                group.mark("both")
            time.sleep(0.04)
    read = {name: SessionReader(tmp_path / "pair" / name) for name in devices}
    rows = {
        name: {float(sample.values[0]): sample.originating_time for sample, _ in reader.samples("face")}
        for name, reader in read.items()
    }
    assert rows["anna"].keys() == rows["ben"].keys()
    # A device compares its clock with the session's when it is opened, between two readings of both.
    assert all(abs(rows["ben"][k] - at) < 1_000_000 for k, at in rows["anna"].items())
    assert 0 <= min(rows["anna"].values()) < 300_000_000
    assert [label for reader in read.values() for _, label in reader.marks()] == ["both", "both"]
    assert all(reader.ended and not reader.lost for reader in read.values())
    assert read_group(tmp_path / "pair").people == (Member("anna"), Member("ben"))
    assert (tmp_path / "pair" / "group.json").stat().st_mode & 0o777 == 0o600
    assert not group.failures


def test_who_fails_disturbs_nobody(people, tmp_path):
    face, broken, called = pushed(), FakeDevice(), []
    said: list[str] = []
    sessions = people(anna=face, ben=broken, carl=pushed())

    def each(name, estimate):
        called.append((name, estimate.tick))
        if name == "carl" and estimate.tick == 5:
            raise ValueError("in the caller's own code")

    with Group(sessions, tmp_path / "three", said.append) as group:
        group.start(each)
        deadline = time.monotonic() + 20
        while group.running != ["anna"]:
            assert time.monotonic() < deadline
            face.push(np.zeros(FACE.dim, np.float32))
            if ("ben", 10) in called:
                broken.failure = RuntimeError("unplugged in a way nobody expected")
            time.sleep(0.02)
        ticks = max(tick for name, tick in called if name == "anna")
        time.sleep(0.4)
        assert group.running == ["anna"]
        assert max(tick for name, tick in called if name == "anna") >= ticks + 5
    assert group.failures.keys() == {"ben", "carl"}
    assert "unplugged in a way nobody expected" in group.failures["ben"]
    assert group.failures["carl"] == "ValueError: in the caller's own code"
    assert sorted(line.partition(":")[0] for line in said) == ["ben", "carl"]
    anna, ben, carl = (SessionReader(tmp_path / "three" / name) for name in sessions)
    numbers = [estimate.tick for estimate in anna.estimates()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > len(list(ben.estimates())) > 5
    assert all(reader.ended for reader in (anna, ben))
    assert carl.ended is None  # a program error is no proper end
    assert [estimate.tick for estimate in carl.estimates()] == list(range(6))


def test_what_does_not_open_leaves_nothing(people, tmp_path):
    sessions = people(anna=pushed(), ben=Pushed("face", schema="face/1", dim=3))
    with pytest.raises(UserError, match=r"^ben: .*face"), Group(sessions, tmp_path / "a" / "pair"):
        pass
    assert not list(tmp_path.iterdir())


def test_without_a_tick_nothing_is_left(people, tmp_path):
    with Group(people(anna=pushed(), ben=pushed()), tmp_path / "pair"):
        assert (tmp_path / "pair" / "anna").is_dir()
    assert not list(tmp_path.iterdir())


def test_nothing_is_recorded_over(people, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UserError, match="is not empty"), Group(people(anna=pushed()), tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", ".hidden", "a b", "x" * 61, "a\n"])
def test_names_that_cannot_be_folders_are_refused(people, name):
    with pytest.raises(UserError, match="cannot be a person's name here"):
        Group(people(**{name: pushed()}))


def test_names_that_are_one_folder_on_some_systems_are_refused(people):
    with pytest.raises(UserError, match="two people are called Anna and anna"):
        Group(people(Anna=pushed(), anna=pushed()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"version":1,"enrapt":"1","started":"","people":[]}',
        '{"version":1,"enrapt":"1","started":"","people":[{"person":"../x"}]}',
        '{"version":1,"enrapt":"1","started":"","people":[{"person":"a"},{"person":"A"}]}',
        '{"version":1,"enrapt":"1","started":"","people":[{"person":"a","offset":1e400}]}',
        '{"version":1,"enrapt":"1","started":"","people":[{"person":"a","drift":0.5}]}',
        '{"version":2,"enrapt":"1","started":"","people":[{"person":"a"}]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_description_is_one_line(text, tmp_path):
    (tmp_path / "group.json").write_text(text)
    with pytest.raises(UserError) as raised:
        read_group(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_session_of_several_people_is_not_one(people, tmp_path):
    (tmp_path / "group.json").write_text(
        json.dumps({"version": 1, "enrapt": "1", "started": "", "people": [{"person": p} for p in "ab"]})
    )
    with pytest.raises(UserError, match=rf"several people's; give {tmp_path}/a or {tmp_path}/b"):
        SessionReader(tmp_path)
