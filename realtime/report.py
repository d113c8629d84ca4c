"""The report of a run: one self-contained HTML page to zoom and to read values from."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from ..contracts.errors import one_line
from ..contracts.files import write_atomically
from .engine.estimate import Estimate
from .streams.wall_clock import iso
from .timeline import UNUSED, Mark, Strip, stretches, strips, unused
from .truth import Truth

_PAGE: Final = Path(__file__).with_name("report.html")


def write_report(
    estimates: Sequence[Estimate], path: Path, title: str, marks: Sequence[Mark] | None = None
) -> None:
    """Write a run as a page: engagement with its interval, presence, surprise, marks.

    Arguments and errors are those of `draw_timeline`.
    """
    write_strips(strips(estimates, marks), path, title)


def write_strips(people: Sequence[Strip], path: Path, title: str) -> None:
    """Likewise, of people whose estimates are on one axis."""
    began = next((strip.began for strip in people if strip.began is not None), None)
    data = {
        "people": [_columns(strip, len(people) == 1) for strip in people],
        "unused": UNUSED,
        "began": None if began is None else iso(began),
    }
    # Nothing within the data can end their element, and nothing in them or the title is substituted again.
    parts = {
        "title": html.escape(one_line(title)),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "policy": _policy(template := _PAGE.read_text(encoding="utf-8")),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
    write_atomically(path, page.encode())


def _columns(strip: Strip, alone: bool) -> dict[str, Any]:
    """What the page shows of one person, by column."""
    estimates = strip.estimates
    modalities = list(estimates[0].present)
    return {
        "name": one_line(strip.name)[:60],
        "marks": [(at, one_line(label)) for at, label in strip.marks],
        "truth": _known(strip.truth),
        "t": [e.t for e in estimates],
        "mean": [e.engagement.mean for e in estimates],
        "low": [e.engagement.low for e in estimates],
        "high": [e.engagement.high for e in estimates],
        "present": {m: [int(e.present[m]) for e in estimates] for m in modalities},
        "surprise": {m: [e.surprise[m] for e in estimates] for m in modalities},
        "followed": [(at, one_line(label)) for at, label in stretches(estimates)],
        "unused": _unbroken([unused(e, alone) for e in estimates]),
    }


def _known(truth: Truth | None) -> dict[str, Any] | None:
    if truth is None:
        return None
    return {"label": one_line(truth.label), "t": list(truth.times), "values": list(truth.values)}


def _unbroken(texts: Sequence[str | None]) -> list[tuple[int, int, str]]:
    """First index, index after the last one, and text of each stretch of the same text."""
    found, at = [], 0
    for text, group in groupby(texts):
        end = at + sum(1 for _ in group)
        if text is not None:
            found.append((at, end, one_line(text)))
        at = end
    return found


def _policy(page: str) -> str:
    """The page's Content-Security-Policy: its own script and style, by their hashes, and nothing else."""
    hashes = {}
    for kind in ("script", "style"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        hashes[kind] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    own = "; ".join(f"{kind}-src 'sha256-{value}'" for kind, value in hashes.items())
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
