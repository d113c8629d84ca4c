"""study/readers/nova.py: the examples of its manual, each scheme as text and binary, streams."""

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.readers.contents import Samples, Spans
from enrapt.study.readers.nova import read_annotation, read_stream
from tests.support.study_files import nova, ssi_stream

DISCRETE = [(2.96, 3.92, 1, 1), (8, 9.72, 1, 0.5), (18.8, 20.08, 0, 1), (21, 22, 7, 1)]
FREE = [(2, 2.56, "hi", 1), (2.72, 3.16, "<LAUGH>", 0.5), (4.56, 5.28, "oui, allô", 1)]
CONTINUOUS = [(-0.021, 1), (-0.017, 1), (-0.016, 0.6), (0.011, 0.4), (float("nan"), 1)]


@pytest.mark.parametrize("binary", [False, True])
def test_a_discrete_scheme(tmp_path, binary):
    found = read_annotation(nova(tmp_path / "a.annotation", "DISCRETE", DISCRETE, binary=binary))
    assert isinstance(found, Spans)
    assert (found.name, found.rater) == ("arousal", "anna")
    assert found.text == ["high", "high", "low", "7"]
    np.testing.assert_allclose(found.start, [2.96, 8, 18.8, 21])
    np.testing.assert_allclose(found.end, [3.92, 9.72, 20.08, 22])
    np.testing.assert_allclose(found.confidence, [1, 0.5, 1, 1])


@pytest.mark.parametrize("binary", [False, True])
def test_a_free_scheme(tmp_path, binary):
    found = read_annotation(nova(tmp_path / "a.annotation", "FREE", FREE, binary=binary))
    assert isinstance(found, Spans)
    assert found.text == [row[2] for row in FREE]
    np.testing.assert_allclose(found.confidence, [1, 0.5, 1])


def test_a_free_text_may_have_semicolons_and_a_colour(tmp_path):
    path = nova(tmp_path / "a.annotation", "FREE", [])
    path.with_name("a.annotation~").write_text("1;2;well; then;0.5;color=#FFFF0000\n3;4;a;b;1\n")
    found = read_annotation(path)
    assert isinstance(found, Spans)
    assert found.text == ["well; then", "a;b"]
    assert found.confidence.tolist() == [0.5, 1]


@pytest.mark.parametrize("binary", [False, True])
def test_a_continuous_scheme(tmp_path, binary):
    path = nova(
        tmp_path / "a.annotation", "CONTINUOUS", CONTINUOUS, binary=binary, scheme='sr="25" min="-1" max="1"'
    )
    found = read_annotation(path)
    assert isinstance(found, Samples)
    np.testing.assert_allclose(found.times, np.arange(5) / 25)
    np.testing.assert_allclose(found.values[:, 0], [row[0] for row in CONTINUOUS], atol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_a_stream(tmp_path, binary):
    values = np.random.default_rng(0).normal(size=(7, 3))
    values[2, 1] = np.nan
    found = read_stream(ssi_stream(tmp_path / "guest.gemaps.stream", values, binary=binary, begin=2.0))
    assert found.name == "guest.gemaps"
    np.testing.assert_allclose(found.times, 2 + np.arange(7) / 25)
    np.testing.assert_allclose(np.delete(found.values, 2, 0), np.delete(values, 2, 0), atol=1e-6)
    assert np.isnan(found.values[2]).all()


def test_a_stream_of_several_chunks(tmp_path):
    path = ssi_stream(tmp_path / "a.stream", np.zeros((6, 1)), 10)
    text = path.read_text()
    begin = text.index("<chunk")
    chunks = '<chunk from="1" to="1.2" byte="0" num="2"/><chunk from="5" to="9" byte="8" num="2"/></stream>'
    path.write_text(text[:begin] + chunks)
    np.testing.assert_allclose(read_stream(path).times, [1, 1.1, 5, 5.1, 5.2, 5.3])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('type="DISCRETE"', 'type="POINT"', "'POINT' is not read"),
        ('ftype="ASCII"', 'ftype="BIN_LZ4"', "export it as ASCII"),
        ("<info", "<inf", "has no info"),
        ('id="1"', 'id="one"', "damaged"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, old, new, message):
    path = nova(tmp_path / "a.annotation", "DISCRETE", DISCRETE)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_annotation(path)


def test_data_that_do_not_fit_are_refused(tmp_path):
    path = nova(tmp_path / "a.annotation", "FREE", FREE, binary=True)
    data = path.with_name("a.annotation~")
    data.write_bytes(data.read_bytes()[:-3])
    with pytest.raises(UserError, match="damaged"):
        read_annotation(path)
    data.unlink()
    with pytest.raises(UserError, match="No such file"):
        read_annotation(path)
    stream = ssi_stream(tmp_path / "a.stream", np.zeros((6, 1)))
    stream.write_text(stream.read_text().replace('dim="1"', 'dim="5"'))
    with pytest.raises(UserError, match="cannot be vectors of 5"):
        read_stream(stream)
