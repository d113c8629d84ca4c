"""A report on a trained model as one page of HTML that needs nothing else: scores, figures, model card."""

import base64
import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..contracts.errors import one_line
from ..contracts.files import write_atomically
from .assessment import Assessment
from .card import card
from .figures import figures, rendered

_PAGE: Final = Path(__file__).with_name("report.html")
SCORES: Final = {"ccc": "CCC", "rmse": "RMSE", "coverage90": "in 90 % interval"}
FEW: Final = 10  # people
AGREEMENT: Final = {
    "pairs": "mean CCC of pairs", "icc_single": "ICC(2,1)", "icc_average": "ICC(2,k)",
    "alpha": "Krippendorff’s α",
}  # fmt: skip
CAPTIONS: Final = {
    "patterns": "CCC and share of labels in the 90 % interval (shaded: 85 to 95 %), by what is given to the "
    "model. Where raters are known, how far each agrees with the mean of the others.",
    "calibration": "Left: the share of labels that each central interval holds; below the diagonal the model "
    "is too sure. Right: where labels fall in their predicted distributions; if these are right, all "
    "bars reach the line.",
    "people": "Each person, with everything available.",
    "sessions": "Label, estimate and 90 % interval of some sessions.",
    "within_and_between": "Labels and estimates: changes around each session’s mean (darker: more ticks), "
    "and the means.",
    "over_time": "RMSE and share of labels in the 90 % interval by the time since the session’s start.",
}


def write_report(found: Assessment, path: Path, versions: str) -> None:
    """Write the page.

    Args:
        versions: of the software that trained the model.

    Raises:
        UserError: it cannot be written.
    """
    title = f"{one_line(found.config.name)}: {one_line(found.target.name)}"
    parts = {"title": html.escape(title), "body": "\n".join(_body(found, title, versions))}
    # Nothing in the title or the body is substituted again.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _PAGE.read_text(encoding="utf-8"))
    write_atomically(path, page.encode())


def _body(found: Assessment, title: str, versions: str) -> Iterator[str]:
    drawn = {name: _image(rendered(figure, "svg"), name) for name, figure in figures(found).items()}
    people, sessions = len(found.by_person.people), len(found.sessions)
    labels = sum(scores["labels"] for scores in found.by_person.people.values())
    yield f"<h1>{html.escape(title)}</h1>"
    yield f"<p>{html.escape(one_line(found.config.description))}</p>"
    whose = {"test": "test people, who were used for nothing else", "validation":
             "validation people, by whom the model was chosen: their scores are too high"}  # fmt: skip
    yield (
        f'<p class="quiet">Scored on {_count(people, "person", "people")}, {_count(sessions, "session")}, '
        f"{labels:,.0f} labelled ticks of {whose[found.people]}. Ticks of a session depend on each other: "
        "what these figures say of other people rests on the number of people.</p>"
    )
    if people < FEW:
        yield f'<p class="warning">{_count(people, "person", "people")}: too few to tell models apart.</p>'
    yield "<h2>By what is given</h2>"
    yield from _better(found)
    yield _figure(drawn, "patterns")
    yield from _pattern_tables(found)
    yield from _rater_table(found)
    yield "<h2>Calibration</h2>"
    if found.widening is not None:
        yield (
            f"<p>The predicted scale was multiplied by {found.widening:.2f}, so that the 90 % interval holds "
            "90 % of the labels of new people, as far as the validation people tell.</p>"
        )
    yield _figure(drawn, "calibration")
    yield "<h2>By person</h2>"
    yield _figure(drawn, "people")
    columns = {"sessions": "sessions", "labels": "labelled ticks"} | SCORES
    yield _table(
        ["person", *columns.values()],
        ([name, *(_number(scores[k], k in ("sessions", "labels")) for k in columns)]
         for name, scores in found.by_person.people.items()),
    )  # fmt: skip
    yield "<h2>Within and between sessions</h2>"
    yield _figure(drawn, "within_and_between")
    yield _figure(drawn, "sessions")
    yield "<h2>Over time</h2>"
    yield _figure(drawn, "over_time")
    columns = {"labels": "labelled ticks"} | SCORES
    yield _table(
        ["min:s", *columns.values()],
        ([name, *(_number(scores[k], k == "labels") for k in columns)]
         for name, scores in found.times.items()),
    )  # fmt: skip
    yield "<h2>Model card</h2>"
    yield "<dl>"
    for name, text in card(found, versions).items():
        yield f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>"
    yield "</dl>"


def _better(found: Assessment) -> Iterator[str]:
    """A line where a baseline is better than the model."""
    better = [
        f"{name} with {pattern} ({scores[pattern]['ccc']:.3f}, model {own['ccc']:.3f})"
        for pattern, own in found.scores["model"].items()
        for name, scores in found.scores.items()
        if scores[pattern].get("ccc", -1) > own.get("ccc", -1)
    ]
    if better:
        yield f'<p class="warning">A baseline has a higher CCC: {html.escape(", ".join(better))}.</p>'


def _pattern_tables(found: Assessment) -> Iterator[str]:
    patterns = list(found.scores["model"])
    for score, title in SCORES.items():
        yield _table(
            [title, *found.scores],
            ([pattern, *(_number(scores[pattern].get(score, math.nan)) for scores in found.scores.values())]
             for pattern in patterns),
            own=1,
        )  # fmt: skip


def _rater_table(found: Assessment) -> Iterator[str]:
    if found.raters is None:
        return
    yield "<p>How far the raters agree on the same people, without their lags. The model’s CCC is with their "
    yield "consensus.</p>"
    yield _table(
        ["rater", "CCC with the mean of the others"],
        ([name, _number(value)] for name, value in found.raters.others.items()),
    )
    known = {AGREEMENT[k]: v for k, v in found.raters.agreement.items() if k in AGREEMENT}
    yield _table([*known], [[_number(value) for value in known.values()]])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], own: int | None = None) -> str:
    """A table of text; the column `own` is the model's."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=own' if k == own else ''}>{html.escape(one_line(cell))}</{tag}>"
            for k, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{line(header, "th")}</tr>{body}</table></div>'


def _figure(drawn: dict[str, str], name: str) -> str:
    return f"<figure>{drawn[name]}<figcaption>{CAPTIONS[name]}</figcaption></figure>"


def _image(svg: bytes, name: str) -> str:
    data = base64.b64encode(svg).decode()
    return f'<img alt="{html.escape(CAPTIONS[name])}" src="data:image/svg+xml;base64,{data}">'


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _number(value: float, whole: bool = False) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}" if whole else f"{value:.3f}"
