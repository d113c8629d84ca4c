"""The report of a run has all values and marks, whatever text they hold."""

import base64
import hashlib
import json
import re

import msgspec
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.report import write_report

RUN = [Estimate(0, 0.0, Engagement(0.5, 0.1, 0.3, 0.7), {"face": False}, {"face": None}, {"face": None})]


def test_a_label_cannot_end_the_script(tmp_path):
    page = tmp_path / "page.html"
    label = "</script><script>alert(1)</script>"
    write_report(RUN, page, "a run", [(0.0, label)])
    text = page.read_text()
    assert text.count("</script>") == 2
    (data,) = re.findall(r'type="application/json">(.*?)</script>', text)
    assert json.loads(data)["people"][0]["marks"] == [[0.0, label]]
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_no_text_is_substituted_again(tmp_path):
    page = tmp_path / "page.html"
    write_report(RUN, page, "{{data}} {{policy}} <b>", [(0.0, "{{title}}"), (0.0, "<!--<script>")])
    text = page.read_text()
    assert text.count("<h1>{{data}} {{policy}} &lt;b&gt;</h1>") == 1
    (data,) = re.findall(r'type="application/json">(.*?)</script>', text)
    assert "<" not in data
    assert json.loads(data)["people"][0]["marks"] == [[0.0, "{{title}}"], [0.0, "<!--<script>"]]


def test_control_characters_and_names_that_are_no_text_are_spaces(tmp_path):
    page = tmp_path / "page.html"
    write_report(RUN, page, "a\0\udcff b", [(0.0, "\x1b[2J\ud800")])
    text = page.read_text()
    assert "<h1>a   b</h1>" in text
    assert '"marks":[[0.0," [2J "]]' in text


def test_the_policy_allows_the_own_script_and_style_only(tmp_path):
    page = tmp_path / "page.html"
    write_report(RUN, page, "a run")
    text = page.read_text()
    (policy,) = re.findall(r'"Content-Security-Policy" content="(.*?)"', text)
    for kind in ("script", "style"):
        (own,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        sha = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"; {kind}-src 'sha256-{sha}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_a_page_that_cannot_be_written_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        write_report(RUN, tmp_path / "nowhere" / "page.html", "a run")


def test_stretches_with_a_face_that_is_not_taken_have_its_reason(tmp_path):
    page = tmp_path / "page.html"
    poor = msgspec.structs.replace(RUN[0], faces=1, person=1, box=(0, 0, 1, 1), face_problem="too small")
    gone = msgspec.structs.replace(RUN[0], faces=1, person=1)
    write_report([RUN[0], poor, poor, gone, RUN[0]], page, "a run")
    (data,) = re.findall(r'type="application/json">(.*?)</script>', page.read_text())
    (one,) = json.loads(data)["people"]
    assert one["unused"] == [[1, 3, "too small"], [3, 4, "another person's is in view"]]
