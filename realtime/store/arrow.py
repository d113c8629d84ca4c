"""Arrow, where it is installed, and its fields for the columns of an estimate."""

import datetime
from typing import Any

from ...contracts.errors import UserError
from ..engine.columns import Column

__all__ = ["estimate_field", "pa", "parquet"]

try:
    import pyarrow as pa
except ImportError:
    raise UserError("sessions and Parquet files need pyarrow: pip install 'enrapt[record]'") from None


def parquet() -> Any:
    """The module pyarrow.parquet, imported at the first call: sessions do not need its memory."""
    import pyarrow.parquet

    return pyarrow.parquet


def estimate_field(column: Column) -> Any:
    """The Arrow field of a column, with its unit as metadata."""
    kinds = {
        int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(),
        datetime.datetime: pa.timestamp("us", "UTC"),
    }  # fmt: skip
    return pa.field(column.name, kinds[column.kind], column.nullable, {"unit": column.unit})
