"""Profiles are files of the user's: new, private, listed, deleted; a damaged one is an error of one line."""

import os
import stat

import platformdirs
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.calibration import calibrate
from enrapt.realtime.store import profiles


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    return tmp_path / "enrapt" / "profiles"


@pytest.fixture
def profile(tiny_bundle):
    import numpy as np

    return calibrate(Bundle.load(tiny_bundle), "anna", [{"face": np.ones(57, np.float32)}] * 200)


def test_a_profile_is_read_as_it_was_written_and_its_owners_alone(profile, folder):
    assert profiles.names() == []
    path = profiles.save(profile)
    assert path == folder / "anna.json"
    assert profiles.load("anna") == profile
    assert profiles.names() == ["anna"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    profiles.delete("anna")
    assert list(folder.iterdir()) == []


def test_one_that_exists_is_not_replaced(profile, folder):
    profiles.save(profile)
    before = (folder / "anna.json").read_bytes()
    with pytest.raises(UserError, match="profile anna exists; delete it first"):
        profiles.save(profile)
    assert (folder / "anna.json").read_bytes() == before


def test_one_that_is_not_there_names_those_that_are(profile):
    profiles.save(profile)
    for act in (profiles.load, profiles.delete):
        with pytest.raises(UserError, match=r"no profile ben \(there are: anna\)"):
            act("ben")


@pytest.mark.parametrize("name", ["../anna", "", ".anna", "a/b", "a" * 65, "a\nb"])
def test_a_name_is_no_path(name):
    for act in (profiles.load, profiles.delete, profiles.check_new):
        with pytest.raises(UserError, match="give letters, digits"):
            act(name)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b"[" * 100_000, b'{"profile_version": 2}', None],
)
def test_a_damaged_one_is_one_line(profile, folder, content):
    path = profiles.save(profile)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"not a profile, or damaged") as caught:
        profiles.load("anna")
    assert "\n" not in str(caught.value)


def test_one_of_a_later_version_is_refused(profile, folder):
    path = profiles.save(profile)
    path.write_bytes(path.read_bytes().replace(b'"profile_version": 1', b'"profile_version": 2'))
    with pytest.raises(UserError, match="of version 2, not 1"):
        profiles.load("anna")
