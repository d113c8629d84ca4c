"""Reads estimates back from the files that outputs write: JSON Lines, CSV, Parquet."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...contracts.errors import UserError
from ..engine.columns import estimate_reader, modalities_of
from ..engine.estimate import Estimate


def read_estimates(path: Path) -> list[Estimate]:
    """All estimates of a file; columns are found by name, see `estimate_reader`.

    Raises:
        UserError: it cannot be read, or is none of these formats; it has no estimate.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PAR1":
            from .arrow import parquet

            estimates = _of_rows(parquet().read_table(path).to_pylist())
        elif start.startswith(b"{"):
            estimates = [msgspec.json.decode(line, type=Estimate) for line in path.read_bytes().splitlines()]
        else:
            with path.open(newline="", encoding="utf-8") as text:
                estimates = _of_rows(csv.DictReader(text, restkey=""))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):  # msgspec's errors are ValueErrors
        raise UserError(
            f"{path}: not estimates, or damaged; give a file of --to jsonl:, csv: or parquet:, or a session"
        ) from None
    if not estimates:
        raise UserError(f"{path}: has no estimate in it")
    return estimates


def _of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Estimate]:
    found = list(rows)
    return list(map(estimate_reader(modalities_of(found[0])), found)) if found else []
