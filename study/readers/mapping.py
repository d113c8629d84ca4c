"""Any text table, by a short TOML file that says which column is what.

```toml
separator = ";"            # optional; recognised
unit = "ms"                # of times: s (the default), ms, us, ns, min, or frames
rate = 25.0                # frames a second, where the unit is frames
offset = 0.0               # seconds to add

time = "Timestamp"         # samples: a time and values
value = "arousal"          # one column: a trace
values = ["x", "y", "z"]   # or several: features
schema = "face/1"          # optional: of features

start = "from"             # or spans: start, end, and what they say
end = "to"
text = "speech"            # or value, a number
confidence = "conf"        # optional

session = "talk"           # or ratings of whole sessions: a session's name, and value; nothing of times

rater = "annotator"        # optional: the column that says who; one track each
dimension = "scale"        # optional: the column that says what; --dimension chooses
modality = "face"          # optional: the name of the modality
```
"""

import math
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ...contracts.errors import UserError, one_line
from ...contracts.schemas import schema_of
from .contents import MAX_SPANS, Samples, Spans, Track, text_of
from .eaf import number
from .table import Table

_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0}
_OF_SESSIONS: Final = {"separator", "session", "value", "confidence", "rater", "dimension"}

_Column = Annotated[str, Meta(min_length=1, max_length=200)]


class Mapping(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which column is what; see above."""

    separator: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    unit: Literal["s", "ms", "us", "ns", "min", "frames"] = "s"
    rate: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    offset: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    time: _Column | None = None
    value: _Column | None = None
    values: Annotated[list[_Column], Meta(min_length=1, max_length=8192)] | None = None
    schema: str | None = None
    start: _Column | None = None
    end: _Column | None = None
    session: _Column | None = None
    text: _Column | None = None
    confidence: _Column | None = None
    rater: _Column | None = None
    dimension: _Column | None = None
    modality: str | None = None

    @property
    def scale(self) -> float:
        """Seconds of a unit."""
        return 1 / (self.rate or math.nan) if self.unit == "frames" else _SECONDS[self.unit]


def read_mapping(path: Path) -> Mapping:
    """The mapping that a file has, of a table with times.

    Raises:
        UserError: it cannot be read, has unknown keys, or does not fit together.
    """
    mapping = _mapping(path)
    if mapping.session is not None:
        raise UserError(
            f"{path}: session is for ratings of whole sessions: give --study, and a --dimension of that kind"
        )
    spans = mapping.start is not None
    if spans == (mapping.time is not None) or spans != (mapping.end is not None):
        raise UserError(f"{path}: give either time, or start and end")
    given = [name for name in ("value", "values", "text") if getattr(mapping, name) is not None]
    if len(given) != 1 or given[0] == ("values" if spans else "text"):
        raise UserError(f"{path}: give one of {'value, text' if spans else 'value, values'}")
    if (mapping.unit == "frames") != (mapping.rate is not None):
        raise UserError(f"{path}: give rate with unit = 'frames', and only then")
    if mapping.schema is not None:
        schema_of(mapping.schema, len(mapping.values or [""]))
    return mapping


def read_session_mapping(path: Path) -> Mapping:
    """The mapping of a table of ratings of whole sessions.

    Raises:
        UserError: as `read_mapping`.
    """
    mapping = _mapping(path)
    given = {name for name in mapping.__struct_fields__ if getattr(mapping, name) != getattr(Mapping(), name)}
    if missing := {"session", "value"} - given:
        raise UserError(f"{path}: give {' and '.join(sorted(missing))}: the rating is of a whole session")
    if unused := sorted(given - _OF_SESSIONS):
        raise UserError(f"{path}: {unused[0]} means nothing in a table of ratings of whole sessions")
    return mapping


def _mapping(path: Path) -> Mapping:
    try:
        return msgspec.convert(tomllib.loads(text_of(path)), Mapping)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path}: {one_line(error)}") from None


def read_mapped(path: Path, mapping: Mapping) -> list[Track]:
    """The tracks of a table, one for each rater and dimension, whose name is the track's.

    Raises:
        UserError: the file cannot be read, or has no such columns.
    """
    table = Table(path, mapping.separator)
    who = [name for name in (mapping.rater, mapping.dimension) if name is not None]
    rows: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for k, (_, cells) in enumerate(table.texts(who) if who else ()):
        named = dict(zip(who, cells, strict=True))
        rows[named.get(mapping.rater or "", ""), named.get(mapping.dimension or "", "")].append(k)
        if len(rows) > 1000:
            raise UserError(f"{path}: more than 1000 raters and dimensions; are these the right columns?")
    read = _spans if mapping.start is not None else _samples
    whole = read(table, mapping)
    if not who:
        return [whole]
    return [
        _part(whole, rater, dimension or whole.name, np.array(k)) for (rater, dimension), k in rows.items()
    ]


def _samples(table: Table, mapping: Mapping) -> Samples:
    columns = mapping.values or [mapping.value or ""]
    numbers = table.numbers([mapping.time or "", *columns])
    times, values = numbers[:, 0] * mapping.scale + mapping.offset, numbers[:, 1:]
    values[~np.isfinite(values).all(1)] = np.nan
    return Samples(mapping.modality or table.path.stem, times, values, tuple(columns), mapping.schema)


def _spans(table: Table, mapping: Mapping) -> Spans:
    times = table.numbers([mapping.start or "", mapping.end or ""]) * mapping.scale + mapping.offset
    columns = [mapping.text or mapping.value, mapping.confidence]
    cells = [row for _, row in table.texts([name for name in columns if name is not None])]
    if len(cells) > MAX_SPANS:
        raise UserError(f"{table.path}: more than {MAX_SPANS} rows")
    confidence = np.array([number(row[1]) if len(row) > 1 else math.nan for row in cells], float)
    return Spans(table.path.stem, times[:, 0], times[:, 1], [row[0] for row in cells], confidence)


def _part(whole: Track, rater: str, name: str, rows: NDArray[np.intp]) -> Track:
    if isinstance(whole, Samples):
        return Samples(name, whole.times[rows], whole.values[rows], whole.features, whole.schema, rater)
    text = [whole.text[k] for k in rows.tolist()]
    return Spans(name, whole.start[rows], whole.end[rows], text, whole.confidence[rows], rater)
