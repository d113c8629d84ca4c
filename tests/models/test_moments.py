"""Moments by person: exact on sessions that are given, none of a single one."""

import msgspec
import numpy as np
import pytest

from enrapt.models.config import ARRAYS, load_config
from enrapt.models.moments import moments_by_person


def config_of(folder, people):
    """Sessions of 100 ticks that alternate around each person's mean."""
    for part in ("train", "validation"):
        (folder / part).mkdir()
        for number, (mean, spread) in enumerate(people):
            face = np.full((100, 57), mean, np.float32)
            face[::2] += spread
            face[1::2] -= spread
            face[90:] = np.nan
            audio = np.full((100, 44), np.nan, np.float32)
            engagement = np.full((100, 1), 0.5, np.float32)
            np.savez(folder / part / f"{number}.npz", face=face, audio=audio, engagement=engagement)
    config = load_config("default")
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, data=str(folder))
    )


def test_they_are_those_of_people(tmp_path):
    found = moments_by_person(config_of(tmp_path, [(1.0, 1.0), (3.0, 7.0)]), 0)
    assert found.keys() == {"face"}  # nobody has audio
    mean, between, within = (part[0] for part in found["face"])
    assert (mean, between, within) == pytest.approx((2.0, np.sqrt(2), 5.0))


def test_one_person_has_no_spread_between_people(tmp_path):
    assert moments_by_person(config_of(tmp_path, [(1.0, 1.0)]), 0) == {}


def test_arrays_are_not_kept():
    config = load_config("default")
    training = msgspec.structs.replace(config.training, data=ARRAYS)
    assert moments_by_person(msgspec.structs.replace(config, training=training), 0) == {}
