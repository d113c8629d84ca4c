import gzip

import numpy as np
import pytest
import torch

from benchmarks.datasets.mnist import PAIR_SIDE, Digits, load_mnist, pairs
from enrapt.contracts.errors import UserError

COUNTS = {"train": 3, "t10k": 2}


def write(path, values):
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def folder(tmp_path):
    for part, n in COUNTS.items():
        images = np.zeros((n, 28, 28))
        images[:, 0, :3] = 127, 128, 255
        write(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(n) + 7)
    return tmp_path


def test_pixels_are_binarised_at_one_half_and_labels_one_hot(folder):
    training, test = load_mnist(folder)
    assert training.image.shape == (3, 784)
    assert training.image[0, :4].tolist() == [0, 1, 1, 0]
    assert training.label.argmax(-1).tolist() == [7, 8, 9]
    assert torch.equal(training.label.sum(-1), torch.ones(3))
    assert len(test.image) == len(test.label) == 2
    assert training.part(1, 3).label.argmax(-1).tolist() == [8, 9]


def test_a_missing_file_is_rejected(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: No such file"):
        load_mnist(folder)


@pytest.mark.parametrize(
    "content", [b"", b"not a gzip file", gzip.compress(b"no idx", mtime=0), gzip.compress(b"", mtime=0)[:9]]
)
def test_a_file_that_is_not_mnist_is_rejected(folder, content):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz: .*expected"):
        load_mnist(folder)


def test_a_picture_of_two_has_the_pixels_and_labels_of_both():
    """Digits that are blocks of different sizes: their pixels tell which they are, and where they may be."""
    image = torch.zeros(20, 28, 28)
    for n in range(20):
        image[n, 14 - n % 5 - 1 : 14, :2] = 1.0  # classes 0 to 4: heights 1 to 5
    digits = Digits(image.flatten(1), torch.eye(10)[torch.arange(20) % 5])
    two = pairs(digits, np.random.default_rng(0))
    assert 0 < len(two.image) == len(two.label) <= 20
    assert two.image.shape[1] == PAIR_SIDE**2 == 1296
    assert torch.equal(two.label.sum(-1), torch.full((len(two.label),), 2.0))
    for picture, label in zip(two.image.view(-1, PAIR_SIDE, PAIR_SIDE), two.label, strict=True):
        sizes = [2 * (c + 1) for c in label.nonzero().flatten().tolist()]
        assert max(sizes) <= picture.sum() <= sum(sizes)  # less where they overlap
        assert not picture[:, 10:].any()
        assert not picture[:9].any()
        assert not picture[22:].any()
    assert len({picture.argmax().item() for picture in two.image}) > 5  # shifted


def test_the_real_data_set_is_complete(shared):
    training, test = load_mnist(shared / "mnist")
    assert (len(training.image), len(test.image)) == (60_000, 10_000)
    assert training.label.sum(0)[:2].tolist() == [5923, 6742]
    assert set(torch.unique(test.image).tolist()) == {0.0, 1.0}
