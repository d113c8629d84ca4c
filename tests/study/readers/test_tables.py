"""Text tables: separators, decimal commas, headers; OpenFace, openSMILE, traces, mappings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import OPENFACE
from enrapt.study.readers.contents import Samples, Spans
from enrapt.study.readers.csv_trace import read_csv_trace
from enrapt.study.readers.mapping import read_mapped, read_mapping
from enrapt.study.readers.openface import read_openface
from enrapt.study.readers.opensmile import read_opensmile
from enrapt.study.readers.table import Table
from tests.support.study_files import openface

NAN = float("nan")


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "time,value\n0.5,-1\n1.5,\n2,0.25\n",
        "time;value\r\n0,5;-1\r\n1,5;\r\n2;0,25\r\n",
        "time\tvalue\n0.5\t-1\n1.5\t\n2\t0.25\n",
        "\ufefftime, value\n0.5, -1\n1.5, nan\n2, 0.25\n\n",
        '"time";"value"\n"0,5";"-1"\n"1,5";""\n"2";"0,25"\n',
        "0.5 -1\n1.5 nan\n2 0.25\n",
        "0.5|-1\n1.5|\n2|0.25\n",
    ],
)
def test_separators_headers_and_decimal_commas_are_recognised(tmp_path, text):
    found = read_csv_trace(write(tmp_path, text))
    np.testing.assert_array_equal(found.times, [0.5, 1.5, 2])
    np.testing.assert_array_equal(found.values[:, 0], [-1, NAN, 0.25])


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
    st.sampled_from(";\t|"),
    st.booleans(),
)
def test_any_numbers_are_read_as_they_were_written(tmp_path_factory, rows, separator, comma):
    text = f"t{separator}v\n" + "".join(f"{a!r}{separator}{b!r}\n" for a, b in rows)
    path = write(tmp_path_factory.mktemp("tables"), text.replace(".", ",") if comma else text)
    found = read_csv_trace(path)
    np.testing.assert_array_equal(np.stack([found.times, found.values[:, 0]], 1), rows)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("time,a,b\n0,1,2\n", None, "2 columns beside time; choose with --column"),
        ("when,a\n0,1\n", None, "no column of times among when, a"),
        ("time,a\n0,1\n", "c", "no column 'c'; it has time, a"),
        ("time,a,a\n0,1,2\n", "a", "2 columns 'a'"),
        ("time,a\n0,one\n", None, "row 2: .*expected numbers in time, a"),
        ("time,a\n0,1\n1\n", None, "row 3 has 1 cells of 2"),
        ("", None, "empty"),
        ("\n\n", None, "empty"),
        (b"\xff\xfet\0i\0m\0", None, "UTF-16"),
        (b"time,a\n0,\0\n", None, "not a table"),
        ("time,a\n" + "1" * 200_000, None, "not a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, text, column, message):
    with pytest.raises(UserError, match=message):
        read_csv_trace(write(tmp_path, text), column)


def test_many_rows_are_read_in_blocks(tmp_path):
    values = np.arange(10_000) / 4
    path = write(tmp_path, "t,v\n" + "".join(f"{x},{2 * x}\n" for x in values.tolist()))
    found = Table(path).numbers(["v", "t"])
    np.testing.assert_array_equal(found, np.stack([2 * values, values], 1))


def test_a_table_of_openface(tmp_path):
    values = np.random.default_rng(0).normal(size=(9, OPENFACE.dim))
    found = read_openface(openface(tmp_path / "a.csv", values, lost=(3, 4)))
    assert (found.schema, found.features) == ("openface/1", OPENFACE.features)
    np.testing.assert_allclose(found.times, np.arange(9) / 30, atol=1e-3)
    assert np.isnan(found.values[3:5]).all()
    np.testing.assert_allclose(np.delete(found.values, [3, 4], 0), np.delete(values, [3, 4], 0))
    assert found.notes == ("2 of 9 pictures without a face (success, confidence)",)


def test_a_face_of_little_confidence_is_missing(tmp_path):
    path = openface(tmp_path / "a.csv", np.ones((3, OPENFACE.dim)))
    assert np.isnan(read_openface(path, min_confidence=0.99).values).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [(" pose_Rx", " pose", "lacks pose_Rx: run OpenFace"), ("\n2, 0, ", "\n2, 1, ", "2 faces")],
)
def test_other_tables_of_openface_are_refused(tmp_path, old, new, message):
    path = openface(tmp_path / "a.csv", np.ones((3, OPENFACE.dim)))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_openface(path)


def test_a_table_of_opensmile(tmp_path):
    path = write(tmp_path, "name;frameTime;Loudness_sma3;F0\n'a';0.00;1.5;120\n'a';0.01;NaN;121\n")
    found = read_opensmile(path)
    np.testing.assert_allclose(found.times, [0, 0.01])
    assert found.features == ("Loudness_sma3", "F0")
    np.testing.assert_array_equal(found.values, [[1.5, 120], [NAN, NAN]])
    with pytest.raises(UserError, match="not openSMILE's"):
        read_opensmile(write(tmp_path, "time,value\n0,1\n", "b.csv"))


def mapped(tmp_path, table, mapping):
    return read_mapped(write(tmp_path, table), read_mapping(write(tmp_path, mapping, "map.toml")))


def test_a_mapping_of_traces_by_rater_and_dimension(tmp_path):
    found = mapped(
        tmp_path,
        "ms;who;what;score\n0;anna;arousal;1\n40;anna;arousal;2\n0;ben;arousal;3\n0;anna;valence;4\n",
        'unit = "ms"\noffset = 10.0\ntime = "ms"\nvalue = "score"\nrater = "who"\ndimension = "what"\n',
    )
    assert [(t.rater, t.name) for t in found] == [
        ("anna", "arousal"),
        ("ben", "arousal"),
        ("anna", "valence"),
    ]
    first = found[0]
    assert isinstance(first, Samples)
    np.testing.assert_allclose(first.times, [10, 10.04])
    np.testing.assert_array_equal(first.values[:, 0], [1, 2])


def test_a_mapping_of_intervals_and_one_of_features(tmp_path):
    (spans,) = mapped(
        tmp_path, "a,b,c,d\n0,50,yes,0.5\n75,100,no,\n",
        'unit = "frames"\nrate = 25\nstart = "a"\nend = "b"\ntext = "c"\nconfidence = "d"\n',
    )  # fmt: skip
    assert isinstance(spans, Spans)
    assert (spans.start.tolist(), spans.end.tolist(), spans.text) == ([0, 3], [2, 4], ["yes", "no"])
    np.testing.assert_array_equal(spans.confidence, [0.5, NAN])
    (samples,) = mapped(
        tmp_path,
        "t,x,y\n0,1,2\n1,,3\n",
        'time = "t"\nvalues = ["y", "x"]\nmodality = "gaze"\nschema = "gaze/1"\n',
    )
    assert isinstance(samples, Samples)
    assert (samples.name, samples.schema, samples.features) == ("gaze", "gaze/1", ("y", "x"))
    np.testing.assert_array_equal(samples.values, [[2, 1], [NAN, NAN]])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ('tme = "t"', "unknown field `tme`"),
        ('time = "t"', "give one of value, values"),
        ('start = "a"\nvalue = "v"', "give either time, or start and end"),
        ('time = "t"\nstart = "a"\nend = "b"\nvalue = "v"', "give either time"),
        ('time = "t"\nvalue = "v"\nunit = "frames"', "give rate"),
        ('time = "t"\nvalue = "v"\nunit = "hours"', "Invalid enum value"),
        ('time = "t"\nvalues = ["a"]\nschema = "face/1"', "face/1 has 57 numbers, not 1"),
        ("time = ", "Invalid value"),
    ],
)
def test_a_mapping_that_is_wrong_is_named(tmp_path, mapping, message):
    with pytest.raises(UserError, match=message):
        read_mapping(write(tmp_path, mapping, "map.toml"))
