"""The report of a run has all values and marks, whatever text they hold."""

import json
import re

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
    assert json.loads(data)["marks"] == [[0.0, label]]
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        write_report(RUN, tmp_path / "nowhere" / "page.html", "a run")
