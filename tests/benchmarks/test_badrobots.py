import gzip

import numpy as np
import pytest

from benchmarks.datasets.badrobots import KEYS, load_badrobots
from enrapt.contracts.errors import UserError

HEADER = ",".join([*KEYS, *(f"gaze_{i}" for i in range(8)), *(f"voice_{i}" for i in range(23))])


def line(name, frame, label, gaze, voice):
    return ",".join(map(str, [name, frame, label, 2 * label, *[gaze] * 8, *[voice] * 23]))


def table(*lines):
    return "\n".join([HEADER, *lines]) + "\n"


def test_people_are_separated_and_their_frames_sorted(tmp_path):
    path = tmp_path / "frames.csv"
    path.write_text(table(line("b", 2, 1, 0.2, 2), line("a", 1, 0, 0.3, 3), line("b", 1, 0, 0.1, 1)))
    b, a = load_badrobots(path)
    assert (b.name, a.name) == ("b", "a")
    assert b.label.tolist() == [0, 1]
    np.testing.assert_array_equal(b.x["gaze"], np.float32([[0.1] * 8, [0.2] * 8]))
    np.testing.assert_array_equal(b.x["voice"], np.float32([[1] * 23, [2] * 23]))
    assert a.x["voice"].shape == (1, 23)


def test_all_zeros_are_missing_and_one_zero_is_not(tmp_path):
    path = tmp_path / "frames.csv.gz"
    breath = line("a", 3, 0, 0.1, 1).rsplit(",", 1)[0] + ",0"
    path.write_bytes(gzip.compress(table(line("a", 1, 0, 0, 1), line("a", 2, 0, 0.1, 0), breath).encode()))
    (person,) = load_badrobots(path)
    assert person.available["gaze"].tolist() == [False, True, True]
    assert person.available["voice"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected the columns participant.*found none"),
        ("a,b\n1,2\n", "expected the columns participant.*found a, b"),
        (table("a,1,0"), "line 2: expected 35 columns.*found 3"),
        (table(line("a", 1, 0, 0, 1), line("a", 2, 3, 0, 1)), "line 3: expected .*binary_label 0 or 1"),
        (table(line("a", 1, 0, "nan", 1)), "line 2: expected .*finite"),
        (table(line("a", 1, 0, "x", 1)), "line 2: could not convert"),
    ],
)
def test_an_invalid_table_is_rejected_with_its_line(tmp_path, content, message):
    path = tmp_path / "frames.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"frames\.csv.*{message}"):
        load_badrobots(path)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"not a gzip file",
        gzip.compress(b"\xff\xfe", mtime=0),
        gzip.compress(b"a", mtime=0)[:9],
        gzip.compress(b"a" * 99, mtime=0)[:10] + b"\xff" * 9,
    ],
)
def test_an_unreadable_file_is_rejected(tmp_path, content):
    path = tmp_path / "frames.csv.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"frames\.csv\.gz: .*expected a table"):
        load_badrobots(path)


def test_the_real_data_set_is_complete(shared):
    people = load_badrobots(shared / "badrobots" / "frames.csv.gz")
    assert len(people) == 18
    assert sum(len(person.label) for person in people) == 20_692
    # Every conversation starts and ends without failure.
    assert all(set(p.label) == {0, 1} and p.label[0] == p.label[-1] == 0 for p in people)
    silent = 1 - np.mean(np.concatenate([p.available["voice"] for p in people]))
    assert silent == pytest.approx(0.877, abs=1e-3)
