"""Any file that can be imported, by its name and beginning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError
from ...realtime.sources.xdf_file import is_xdf
from .contents import Track
from .csv_trace import read_csv_trace
from .eaf import read_eaf
from .mapping import read_mapped, read_mapping
from .nova import read_annotation, read_stream
from .openface import is_openface, read_openface
from .opensmile import is_opensmile, read_opensmile
from .subtitles import read_subtitles
from .table import Table
from .xdf import read_xdf

_TABLES: Final = (".csv", ".tsv", ".txt")


def read_file(
    path: Path, *, column: str | None = None, mapping: Path | None = None, streams: Sequence[str] = ()
) -> list[Track]:
    """What a file holds.

    Args:
        column: of the values, for a table with several.
        mapping: a file that says which column of a table is what; see `mapping`.
        streams: of XDF, those to read; all, if none is named.

    Raises:
        UserError: the file cannot be read, or is of no known kind.
    """
    if mapping is not None:
        return read_mapped(path, read_mapping(mapping))
    if not path.is_file():
        raise UserError(f"{path}: no such file; check its name")
    suffix = path.suffix.lower()
    if column is not None and suffix not in _TABLES:
        raise UserError(f"{path}: --column is for tables: {', '.join(_TABLES)}")
    match suffix:
        case ".eaf":
            return list(read_eaf(path))
        case ".annotation":
            return [read_annotation(path)]
        case ".stream":
            return [read_stream(path)]
        case ".vtt" | ".srt":
            return list(read_subtitles(path))
        case _ if suffix in _TABLES:
            table = Table(path)
            if is_openface(table) and column is None:
                return [read_openface(path)]
            if is_opensmile(table) and column is None:
                return [read_opensmile(path)]
            return [read_csv_trace(path, column)]
    if is_xdf(path):
        return read_xdf(path, streams)
    raise UserError(
        f"{path}: of no kind that is read: .eaf, .annotation, .stream, .csv, .tsv, .txt, .xdf, .vtt, .srt, "
        "or any table with --mapping"
    )
