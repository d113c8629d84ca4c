import numpy as np
import pytest

from benchmarks.datasets.emodb import EMOTIONS, load_emodb
from enrapt.contracts.errors import UserError


def test_sentences_have_speaker_and_emotion_and_end_in_nan(tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, **{"16b10Lb": np.ones((3, 44)), "03a01Wa": np.zeros((5, 44))})
    sentences = load_emodb(path)
    assert sentences.speaker.tolist() == ["03", "16"]
    assert [list(EMOTIONS.values())[i] for i in sentences.emotion] == ["anger", "boredom"]
    assert sentences.x.shape == (2, 5, 44)
    assert np.isnan(sentences.x).all(2).tolist() == [[False] * 5, [False] * 3 + [True] * 2]
    assert sentences.of(sentences.speaker == "16").emotion.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "shape"), [("03a01Xa", (5, 44)), ("03a01W", (5, 44)), ("03a01Wa", (5, 40)), ("03a01Wa", (44,))]
)
def test_other_arrays_are_rejected(tmp_path, name, shape):
    np.savez(tmp_path / "features.npz", **{name: np.zeros(shape)})
    with pytest.raises(UserError, match=rf"features\.npz: expected names.*found {name}"):
        load_emodb(tmp_path / "features.npz")


def test_a_file_without_sentences_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"none\.npz: .*expected an \.npz file"):
        load_emodb(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(UserError, match=r"empty\.npz: no sentences"):
        load_emodb(tmp_path / "empty.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(UserError, match=r"text\.npz: .*expected an \.npz file"):
        load_emodb(tmp_path / "text.npz")


def test_the_real_data_set_is_complete(shared):
    sentences = load_emodb(shared / "emodb" / "audio1_features.npz")
    assert sentences.x.shape == (535, 50, 44)
    assert len(set(sentences.speaker)) == 10
    assert np.bincount(sentences.emotion).tolist() == [127, 81, 46, 69, 71, 62, 79]
