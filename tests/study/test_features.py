"""study/features.py: the newest values at each time, missing where they are too old or were not measured."""

import numpy as np

from enrapt.contracts.schemas import OPENFACE
from enrapt.study.features import features_at
from enrapt.study.importing import write_session
from enrapt.study.readers.contents import Samples

NAN = np.nan


def test_values_are_the_newest_and_not_older_than_the_schemas_max_age(tmp_path):
    values = np.arange(4.0)[:, None] * np.ones(OPENFACE.dim)
    values[2] = NAN
    face = Samples("face", np.array([0, 0.1, 0.2, 0.5]), values, OPENFACE.features, OPENFACE.name)
    plain = Samples("plain", np.array([0, 0.3]), np.array([[7.0], [8]]), ("x",))
    write_session(tmp_path / "s", {"face": face, "plain": plain}, "made up")
    times = np.array([0, 0.05, 0.1, 0.25, 0.5, 0.74, 0.76, 0.5])
    found = features_at(tmp_path / "s", ["face", "plain"], times)
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, NAN, 3, 3, NAN, 3])
    np.testing.assert_array_equal(found[:, -1], [7, 7, 7, 7, 8, 8, 8, 8])
    assert found.shape == (8, OPENFACE.dim + 1)


def test_a_modality_that_is_missing_most_of_the_time_takes_no_part(tmp_path):
    rare = Samples("rare", np.array([0.0]), np.ones((1, 1)), ("x",))
    often = Samples("often", np.arange(100) / 10, np.ones((100, 2)), ("x", "y"))
    write_session(tmp_path / "s", {"rare": rare, "often": often}, "made up")
    times = np.arange(100) / 10
    assert features_at(tmp_path / "s", ["rare", "often"], times).shape == (100, 2)
    assert features_at(tmp_path / "s", ["rare"], times) is None
    assert features_at(tmp_path / "s", [], times) is None
