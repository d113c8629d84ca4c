"""The report of a run: one self-contained HTML page to zoom and to read values from."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..contracts.errors import one_line
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
        "marks": [(at, one_line(label)) for at, label in marks],
    }
    # Nothing within the data can end their element, and nothing in them or the title is substituted again.
    parts = {
        "title": html.escape(one_line(title)),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "policy": _policy(template := _PAGE.read_text(encoding="utf-8")),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
    write_atomically(path, page.encode())


def _policy(page: str) -> str:
    """The page's Content-Security-Policy: its own script and style, by their hashes, and nothing else."""
    hashes = {}
    for kind in ("script", "style"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        hashes[kind] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    own = "; ".join(f"{kind}-src 'sha256-{value}'" for kind, value in hashes.items())
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
