"""Reads estimates back from the files that outputs write: JSON Lines, CSV, Parquet."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ...contracts.errors import UserError
from ..engine.estimate import Engagement, Estimate

_PARQUET: Final = b"PAR1"


def read_estimates(path: Path) -> list[Estimate]:
    """All of a file; of CSV and Parquet without latencies.

    Raises:
        UserError: it cannot be read, or is none of these; it has no estimate.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _PARQUET:
            estimates = _of_rows(_parquet_rows(path))
        elif start.startswith(b"{"):
            estimates = [msgspec.json.decode(line, type=Estimate) for line in path.read_bytes().splitlines()]
        else:
            with path.open(newline="", encoding="utf-8") as text:
                estimates = _of_rows(csv.DictReader(text))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):  # msgspec's errors are of ValueError
        raise UserError(
            f"{path}: not estimates, or damaged; give a file of --to jsonl:, csv: or parquet:, or a session"
        ) from None
    if not estimates:
        raise UserError(f"{path}: has no estimate in it")
    return estimates


def _parquet_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install 'enrapt[record]'") from None
    rows: list[Mapping[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def _of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Estimate]:
    estimates = []
    for row in rows:
        modalities = [name.removesuffix("_present") for name in row if name.endswith("_present")]
        estimates.append(
            Estimate(
                tick=int(row["tick"]),
                t=float(row["t_s"]),
                engagement=Engagement(
                    *(float(row[f"engagement_{x}"]) for x in ("mean", "std", "low", "high"))
                ),
                present={m: bool(int(row[f"{m}_present"])) for m in modalities},
                age_ms={m: _number(row[f"{m}_age_ms"]) for m in modalities},
                surprise={m: _number(row[f"{m}_surprise_nats"]) for m in modalities},
            )
        )
    return estimates


def _number(cell: Any) -> float | None:
    """A cell that may be empty."""
    if cell is None or cell == "":
        return None
    number = float(cell)
    return None if math.isnan(number) else number
