"""`enrapt plot`: a picture, or a page with everything in it."""

import json
import re

import pytest
from matplotlib.image import imread

LINE = (
    '{"tick":%d,"t":%.2f,"engagement":{"mean":0.5,"std":0.1,"low":0.3,"high":0.7},'
    '"present":{"face":true},"age_ms":{"face":1.0},"surprise":{"face":2.5}}\n'
)


@pytest.fixture
def estimates(tmp_path):
    path = tmp_path / "<b> & more.jsonl"
    path.write_text("".join(LINE % (k, k / 25) for k in range(50)))
    return path


def test_a_picture(enrapt, estimates, tmp_path):
    done = enrapt("plot", estimates)
    assert done.returncode == 0, done.stderr
    assert "50 ticks, 2.0 s" in done.stdout
    assert imread(estimates.with_suffix(".png")).shape[1] == 1200


def test_a_page_has_every_value_in_it_and_asks_for_nothing(enrapt, estimates, tmp_path):
    page = tmp_path / "page.html"
    assert enrapt("plot", estimates, "-o", page).returncode == 0
    text = page.read_text()
    assert not re.search(r"(?:src|href)=|https?:", text)
    assert text.count("</script>") == 2
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text)
    (run,) = json.loads(data)["people"]
    assert run["mean"] == [0.5] * 50
    assert run["surprise"] == {"face": [2.5] * 50}
    assert run["t"][-1] == 1.96
    assert "&lt;b&gt; &amp; more.jsonl" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing.jsonl"], "nothing.jsonl: cannot be read"),
        (["."], "not a session"),
        (["x.jsonl", "-o", "x.pdf"], "x.pdf: name a file that ends in .png or .html"),
        (["x.jsonl", "-o", "no/where.html"], "no/where.html: cannot be written"),
        (["x.jsonl", "-o", "no/where.png"], "no/where.png: cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(enrapt, estimates, tmp_path, arguments, complaint):
    estimates.rename(tmp_path / "x.jsonl")
    done = enrapt("plot", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_several_people_have_a_strip_each(enrapt, tmp_path):
    path, page = tmp_path / "two.jsonl", tmp_path / "two.html"
    person = '}},"faces":2,"person":{}}}\n'
    lines = [LINE.rstrip("}\n").replace('"face":2.5', '"face":2.5') % (k, k / 25) for k in range(50)]
    path.write_text("".join(line + person.format(p) for line in lines for p in (1, 2)))
    done = enrapt("plot", path)
    assert done.returncode == 0, done.stderr
    assert "2.0 s" in done.stdout
    assert enrapt("plot", path, "-o", page).returncode == 0
    (data,) = re.findall(r'type="application/json">(.*?)</script>', page.read_text())
    people = json.loads(data)["people"]
    assert [(one["name"], len(one["t"])) for one in people] == [("person 1", 50), ("person 2", 50)]
    picture = imread(path.with_suffix(".png"))
    assert picture.shape[1] == 1200
