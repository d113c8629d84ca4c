"""The report of a trained model: one page that needs nothing else, and figures for a paper."""

import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.export.assessment import Assessment, Raters, read_raters, residuals
from enrapt.export.card import card
from enrapt.export.figures import LEVELS, figures, rendered, write_figures
from enrapt.export.report import write_report
from enrapt.models.by_person import Session, score_by_person, score_over_time
from enrapt.models.config import Config, Training
from enrapt.models.evaluation import Predicted
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.target import HALF_WIDTH

RATE = 5
NASTY = "<script>alert('x')</script> & {{title}} $x_1$"
CONFIG = Config(
    1, "Talks & {{body}}", "Interest {{body}}", RATE,
    MMVRNNConfig((Modality("voice", 3), Modality("interest", 1, "target", "normal")), hidden=4, latent=2),
    Training("sessions", calibrate=True), licence="CC BY 4.0", trained_on="6 people of the study Talks",
)  # fmt: skip


def a_session(person, seed, length=100):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=length)
    truth = mean + rng.normal(size=length)
    truth[:10] = np.nan
    return Session(person, f"{person}/1", truth, Predicted(mean, mean - HALF_WIDTH, mean + HALF_WIDTH))


def an_assessment(people=("anna", NASTY), raters=True, patterns=("all", "voice only")):
    sessions = [a_session(person, k) for k, person in enumerate(people)]
    scores = {"ccc": 0.5, "rmse": 0.9, "coverage90": 0.88}
    better = scores | {"ccc": 0.6}
    return Assessment(
        CONFIG,
        CONFIG.model.modalities[1],
        "test",
        {"train": 3, "validation": 1, "test": 2},
        {"model": dict.fromkeys(patterns, scores), "ridge": dict.fromkeys(patterns, better)},
        sessions,
        score_by_person(sessions, "normal"),
        score_over_time(sessions, "normal", RATE),
        Raters({"r1": 0.7, NASTY: math.nan}, {"pairs": 0.4, "alpha": math.nan}) if raters else None,
        1.25,
    )


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else_and_shows_every_score(tmp_path):
    write_report(an_assessment(), tmp_path / "report.html", "enrapt 1")
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.links) == page.tags.count("img") == 6
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert "script" not in page.tags  # a name with markup is text
    assert page.text.count(NASTY) == 3  # of a person, and of a rater twice
    assert "Talks & {{body}}: interest" in page.text
    assert "Interest {{body}}" in page.text
    for expected in ("0.500", "A baseline has a higher CCC: ridge with all (0.600, model 0.500)", "CC BY 4.0",
                     "multiplied by 1.25", "2 people: too few", "0:00–0:10", "0.700",
                     "3 trained on, 1 to choose by, 2 to test on", "not for judging people"):  # fmt: skip
        assert expected in page.text


def test_each_figure_is_a_pdf_and_an_svg_of_the_same_bytes_each_time(tmp_path):
    found = an_assessment()
    paths = write_figures(found, tmp_path / "new" / "figures")
    assert sorted(p.suffix for p in paths) == [".pdf"] * 6 + [".svg"] * 6
    again = {path.name: path.read_bytes() for path in write_figures(found, tmp_path / "again")}
    for path in paths:
        assert path.read_bytes() == again[path.name]
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    "found",
    [
        an_assessment(("anna",), raters=False, patterns=("all",)),
        an_assessment([f"person {k}" for k in range(45)]),
    ],
    ids=["one person", "many people"],
)
def test_any_number_of_people_can_be_drawn(found):
    assert all(rendered(figure, "png") for figure in figures(found).values())


def test_the_calibration_diagram_is_of_residuals_that_are_normal():
    """Of labels drawn from their predictions."""
    found = an_assessment([f"person {k}" for k in range(40)])
    z = np.concatenate([*residuals(found).values()])
    assert len(z) == 40 * 90
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05
    (axis, *_) = figures(found)["calibration"].axes
    (pooled,) = (line for line in axis.lines if line.get_label() == "mean of people")
    np.testing.assert_allclose(pooled.get_ydata(), LEVELS, atol=0.03)


def test_scores_over_time_are_of_the_labels_of_that_time():
    truth = np.repeat([0.0, 1.0, np.nan, 2.0], 50)  # 10 s each
    session = Session("anna", "1", truth, Predicted(0 * truth, truth - 1, truth + 1))
    session = session._replace(predicted=Predicted(np.zeros(200), np.full(200, -1.5), np.full(200, 1.5)))
    found = score_over_time([session], "normal", RATE)
    assert [*found] == ["0:00–0:10", "0:10–0:20", "0:30–0:40"]
    assert [scores["rmse"] for scores in found.values()] == [0, 1, 2]
    assert [scores["coverage90"] for scores in found.values()] == [1, 1, 0]
    assert [scores["labels"] for scores in found.values()] == [50] * 3
    hours = session._replace(
        truth=np.zeros(5 * 3600 * RATE), predicted=Predicted(*[np.zeros(5 * 3600 * RATE)] * 3)
    )
    assert len(score_over_time([hours], "normal", RATE)) == 10  # of half an hour


def test_the_card_is_filled_in():
    entries = card(an_assessment(), "enrapt 1, torch 2")
    assert entries["Licence"] == "CC BY 4.0"
    assert entries["Made with"] == "enrapt 1, torch 2"
    assert "1.25 × as trained" in entries["90 % interval"]
    assert re.fullmatch(r"of 2 test people: CCC 0.500, RMSE 0.900, 88 % .*", entries["Scores"])


def test_raters_are_read_as_the_study_wrote_them(tmp_path):
    assert read_raters(tmp_path, "test") is None
    part = {"with_the_others": [0.5, None], "alpha": 0.4, "pairs": None}
    content = {"raters": ["a", "b"], "parts": {"test": part}}
    (tmp_path / "raters.json").write_text(json.dumps(content))
    found = read_raters(tmp_path, "test")
    assert found.others["a"] == 0.5
    assert math.isnan(found.others["b"])
    assert found.agreement["alpha"] == 0.4
    (tmp_path / "raters.json").write_text(json.dumps(content | {"raters": ["a"]}))
    with pytest.raises(UserError, match=r"raters.json: damaged"):
        read_raters(tmp_path, "test")
