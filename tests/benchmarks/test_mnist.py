import gzip

import numpy as np
import pytest
import torch

from benchmarks.datasets.mnist import load_mnist
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


def test_the_real_data_set_is_complete(shared):
    training, test = load_mnist(shared / "mnist")
    assert (len(training.image), len(test.image)) == (60_000, 10_000)
    assert training.label.sum(0)[:2].tolist() == [5923, 6742]
    assert set(torch.unique(test.image).tolist()) == {0.0, 1.0}
