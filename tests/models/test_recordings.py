import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.models.datasets.recordings import read, read_session
from enrapt.models.modality import Modality

MODALITIES = (
    Modality("face", 3),
    Modality("role", 1, likelihood="bernoulli"),
    Modality("engagement", 1, role="target", likelihood="logit_normal"),
)


def save(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_rows_of_nan_and_absent_modalities_are_missing(tmp_path):
    face = np.arange(12.0).reshape(4, 3)
    face[2] = np.nan
    path = save(tmp_path / "a.npz", face=face, engagement=np.full((4, 1), 0.5))
    session = read_session(path, MODALITIES)
    np.testing.assert_array_equal(session["face"], face.astype(np.float32))
    assert np.isnan(session["role"]).all()
    assert session["role"].shape == (4, 1)


GOOD = np.zeros((4, 3))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"face": GOOD, "gaze": GOOD}, "gaze: no such modality, expected face, role, engagement"),
        ({}, "empty"),
        ({"face": np.zeros((4, 2))}, r"face: expected 4 × 3, found \(4, 2\)"),
        ({"face": np.zeros((0, 3))}, r"face: expected 1 × 3, found \(0, 3\)"),
        ({"face": GOOD, "role": np.zeros((5, 1))}, r"role: expected 4 × 1, found \(5, 1\)"),
        ({"face": np.array([[0, 1, np.nan]])}, "face: tick 0 is neither finite nor all NaN"),
        ({"face": np.array([[0, 0, 0], [0, 1, np.inf]])}, "face: tick 1 is neither finite nor all NaN"),
        ({"face": np.full((4, 3), "a")}, r"face\.npy: expected numbers"),
        ({"face": GOOD, "engagement": np.full((4, 1), 55.0)}, "engagement: expected values from 0 to 1"),
    ],
)
def test_an_invalid_session_is_rejected_with_what_was_expected(arrays, message, tmp_path):
    path = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        read_session(path, MODALITIES)


def test_an_invalid_file_and_an_empty_folder_are_rejected(tmp_path):
    path = tmp_path / "train" / "a.npz"
    path.parent.mkdir()
    with pytest.raises(UserError, match="train: no sessions"):
        read(tmp_path, "train", MODALITIES)
    path.write_text("not a zip")
    with pytest.raises(UserError, match=r"a\.npz: cannot be read"):
        read(tmp_path, "train", MODALITIES)
    np.savez(path, face=np.array([{}], dtype=object))  # a pickle could run code
    with pytest.raises(UserError, match=r"a\.npz: cannot be read"):
        read(tmp_path, "train", MODALITIES)
