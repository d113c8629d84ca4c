import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.models.config import Config, Training
from enrapt.models.data import Recordings
from enrapt.models.datasets.recordings import read, read_session
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig

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


def test_values_of_any_shape_are_read_and_batched(tmp_path):
    picture = np.random.default_rng(0).normal(size=(4, 2, 3))
    picture[1] = np.nan
    modalities = (Modality("picture", shape=(2, 3)), Modality("face", 3))
    path = save(tmp_path / "train" / "a.npz", picture=picture)
    np.testing.assert_array_equal(read_session(path, modalities)["picture"], picture.astype(np.float32))
    save(tmp_path / "train" / "b.npz", face=np.zeros((2, 3)))
    (batch,) = of_folder(tmp_path, modalities, epochs=True).training(0, 0, 2)
    assert batch.x["picture"].shape == (2, 4, 2, 3)
    whole, short = (0, 1) if batch.available["picture"][0].any() else (1, 0)
    assert batch.available["picture"][whole].tolist() == [True, False, True, True]
    assert batch.available["face"][short].tolist() == [True, True, False, False]
    assert not batch.available["picture"][short].any()
    with pytest.raises(UserError, match=r"picture: expected 4 × 2 × 3, found \(4, 3, 2\)"):
        read_session(save(tmp_path / "c.npz", picture=np.zeros((4, 3, 2))), modalities)


def of_folder(folder, modalities, epochs):
    training = Training(data=str(folder), epochs=epochs, session_seconds=0.5)
    return Recordings(Config(1, "a", "b", 10, MVAEConfig(modalities), training), training=True)


def test_an_epoch_has_every_tick_of_every_session_once(tmp_path):
    lengths = (3, 9, 4, 7, 20, 1, 5)
    for i, length in enumerate(lengths):
        face = 100.0 * i + np.arange(length)[:, None] + np.zeros(3)
        save(tmp_path / "train" / f"{i}.npz", face=face)
    data = of_folder(tmp_path, MODALITIES, epochs=True)
    expected = sorted(100 * i + t for i, length in enumerate(lengths) for t in range(length))
    orders = set()
    for round_ in range(3):
        batches = list(data.training(0, round_, 3))
        assert [batch.size for batch in batches] == [3, 3, 1]
        values = [batch.x["face"][batch.available["face"]][:, 0] for batch in batches]
        assert sorted(np.concatenate(values).tolist()) == expected
        orders.add(tuple(batch.x["face"][row, 0, 0].item() for batch in batches for row in range(batch.size)))
        again = [b.x["face"].nan_to_num() for b in data.training(0, round_, 3)]
        assert all((a == b.x["face"].nan_to_num()).all() for a, b in zip(again, batches, strict=True))
    assert len(orders) == 3
    # Without: excerpts of half a second.
    (batch,) = of_folder(tmp_path, MODALITIES, epochs=False).training(0, 0, 6)
    assert batch.x["face"].shape == (6, 5, 3)


def test_arrays_that_are_no_modalities_are_errors_unless_they_are_to_be_ignored(tmp_path):
    path = save(tmp_path / "a.npz", face=GOOD, gaze=GOOD, other=np.zeros(3))
    with pytest.raises(UserError, match="gaze, other: no such modality"):
        read_session(path, MODALITIES)
    session = read_session(path, MODALITIES, ignore=("gaze", "other", "nothing"))
    assert set(session) == {"face", "role", "engagement"}
