"""The report of a run: one self-contained HTML page to zoom and to read values from."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..contracts.files import write_atomically
from .engine.estimate import Estimate
from .timeline import Mark

_PAGE: Final = Path(__file__).with_name("report.html")


def write_report(estimates: Sequence[Estimate], path: Path, title: str, marks: Sequence[Mark] = ()) -> None:
    """Write a run as a page: engagement with its interval, presence, surprise, marks.

    Arguments and errors are those of `draw_timeline`.
    """
    modalities = list(estimates[0].present)
    data: dict[str, Any] = {
        "t": [e.t for e in estimates],
        "mean": [e.engagement.mean for e in estimates],
        "low": [e.engagement.low for e in estimates],
        "high": [e.engagement.high for e in estimates],
        "present": {m: [int(e.present[m]) for e in estimates] for m in modalities},
        "surprise": {m: [e.surprise[m] for e in estimates] for m in modalities},
        "marks": list(marks),
    }
    # Within a script, only "</" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = _PAGE.read_text(encoding="utf-8").replace("{{title}}", html.escape(title))
    write_atomically(path, page.replace("{{data}}", text).encode())
