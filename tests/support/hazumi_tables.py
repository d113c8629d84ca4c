"""Made-up tables in the form of Hazumi's."""

import gzip
from pathlib import Path

import numpy as np

VOICE, FACE = 384, 66
ANSWERS = [f"{q}_r{r}" for q in ("enjoy", "topic") for r in range(1, 6)]
HEADER = ",".join(
    ["corpus", "session", "person", "exchange", "start_ms", "system_end_ms", "end_ms", *ANSWERS, "self"]
)


def line(session="s", exchange=0, start=0, spoken=1000, end=3000, answers=(4,) * 10, person="p", corpus="c"):
    """One exchange."""
    return ",".join(map(str, [corpus, session, person, exchange, start, spoken, end, *answers, ""]))


def write_tables(folder: Path, *lines: str, x=None, header: str = HEADER) -> tuple[Path, Path]:
    """A table and its features, by default numbers that differ from row to row and column to column."""
    text = "\n".join([header, *lines]) + "\n"
    (folder / "exchanges.csv.gz").write_bytes(gzip.compress(text.encode()))
    if x is None:
        x = np.arange(1, len(lines) + 1)[:, None] + np.arange(VOICE + FACE) / 1000
    names = [f"v{i}" for i in range(VOICE)] + [f"AU{i}" for i in range(FACE)]
    np.savez(folder / "features.npz", x=np.float32(x), names=names[: x.shape[1]])
    return folder / "exchanges.csv.gz", folder / "features.npz"
