"""study/readers/subtitles.py: WebVTT and SubRip, speakers by voice tags and by names."""

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.readers.subtitles import read_subtitles

VTT = """\ufeffWEBVTT - a talk

NOTE a note --> not a cue

1
00:01.000 --> 00:02.500 align:start position:10%
<v Anna Berg>Hello &amp; welcome</v>

intro
00:00:02.500 --> 01:00:03.000
<v.loud Ben>Well
<i>thanks</i>

00:05.000 --> 00:06.000
no name
"""
SRT = """1
00:00:01,500 --> 00:00:02,000
Anna: Hello

2
00:00:03,0 --> 00:00:04,25
- Ben: at 10:30 then

3
00:00:05,000 --> 00:00:06,000
{\\an8}Just text: with a colon? no: yes
"""


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
