"""study/readers/subtitles.py: WebVTT and SubRip, speakers by voice tags and by names."""

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.readers.subtitles import read_subtitles
from tests.support.study_files import SRT, VTT


def test_webvtt(tmp_path):
    path = tmp_path / "a.vtt"
    path.write_text(VTT)
    found = {spans.name: spans for spans in read_subtitles(path)}
    assert list(found) == ["Anna Berg", "Ben", ""]
    assert found["Anna Berg"].text == ["Hello & welcome"]
    assert (found["Ben"].start.tolist(), found["Ben"].end.tolist()) == ([2.5], [3603])
    assert found["Ben"].text == ["Well thanks"]


def test_subrip(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(SRT.replace("\n", "\r\n"))
    found = {spans.name: spans for spans in read_subtitles(path)}
    assert {"Anna", "Ben"} < set(found)
    np.testing.assert_allclose(found["Ben"].end, [4.25])
    np.testing.assert_allclose(found["Ben"].start, [3])


@pytest.mark.parametrize("text", ["", "WEBVTT\n", "00:01 --> 00:02\nx", "99:99:99.999 --> 99:99:99.999\nx"])
def test_a_file_without_a_cue_is_refused(tmp_path, text):
    path = tmp_path / "a.vtt"
    path.write_text(text)
    with pytest.raises(UserError, match="no cue"):
        read_subtitles(path)
