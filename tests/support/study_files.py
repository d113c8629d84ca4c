"""Files of other programs, as these write them, and studies with sessions and raters that are made up."""

import struct
from pathlib import Path

import numpy as np

from enrapt.contracts.schemas import OPENFACE
from enrapt.study.importing import write_session
from enrapt.study.labels import path_of, write
from enrapt.study.ratings import Intervals, Trace
from enrapt.study.readers.contents import Samples
from enrapt.study.simulated_raters import Simulated, simulate

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T12:00:00+01:00" FORMAT="3.0" VERSION="3.0">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
    <TIME_ORDER>
{slots}
    </TIME_ORDER>
{tiers}
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def elan(tiers: dict[str, list[tuple[float, float, str]]]) -> str:
    """An `.eaf` with those tiers; times in seconds."""
    slots: list[str] = []
    text = []
    for name, rows in tiers.items():
        text.append(f'    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{name}">')
        for start, end, value in rows:
            for t in (start, end):
                number = len(slots) + 1
                slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{round(t * 1000)}"/>')
            text.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{len(slots)}" '
                f'TIME_SLOT_REF1="ts{len(slots) - 1}" TIME_SLOT_REF2="ts{len(slots)}">'
                f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        text.append("    </TIER>")
    return ELAN.format(slots="\n".join(slots), tiers="\n".join(text))


TURNS = {
    "participant": [(1.0, 3.0, "xxx xx"), (5.0, 9.0, "xxx"), (14.0, 19.5, "xx xx")],
    "operator": [(3.0, 5.0, "xxx"), (9.0, 14.0, "xxxx")],
    "engagement": [(1.0, 3.0, "3"), (5.0, 9.0, "4 "), (14.0, 19.5, "5")],
    "confidence": [(1.0, 3.1, "5"), (4.9, 9.0, "2"), (14.0, 19.5, "4")],
    "backchannels": [(10.0, 10.5, "")],
}

VTT = """\ufeffWEBVTT - a talk

NOTE a note --> not a cue

1
00:01.000 --> 00:02.500 align:start position:10%
<v Anna Berg>Hello &amp; welcome</v>

intro
00:00:02.500 --> 01:00:03.000
<v.loud Ben>Well
<i>thanks</i>

00:05.000 --> 00:06.000
no name
"""
SRT = """1
00:00:01,500 --> 00:00:02,000
Anna: Hello

2
00:00:03,0 --> 00:00:04,25
- Ben: at 10:30 then

3
00:00:05,000 --> 00:00:06,000
{\\an8}Just text: with a colon? no: yes
"""


def nova(path: Path, kind: str, rows: list[tuple], *, binary: bool = False, scheme: str = "") -> Path:
    """An `.annotation` and its data file."""
    items = '<item name="low" id="0"/><item name="high" id="1"/>' if kind == "DISCRETE" else ""
    path.write_text(
        f'<?xml version="1.0" ?>\n<annotation ssi-v="3">\n'
        f'<info ftype="{"BINARY" if binary else "ASCII"}" size="{len(rows)}"/>\n'
        f'<meta annotator="anna" role="guest"/>\n'
        f'<scheme name="arousal" type="{kind}" {scheme}>{items}</scheme>\n</annotation>\n'
    )
    if binary:
        data = b"".join(map(packed, rows))
    else:
        data = "".join(";".join(map(str, row)) + "\n" for row in rows).encode("latin-1")
    path.with_name(f"{path.name}~").write_bytes(data)
    return path


def packed(row: tuple) -> bytes:
    match row:
        case (score, confidence):
            return struct.pack("<ff", score, confidence)
        case (start, end, str(text), confidence):
            return (
                struct.pack("<ddi", start, end, len(text))
                + text.encode("latin-1")
                + struct.pack("<f", confidence)
            )
        case (start, end, label, confidence):
            return struct.pack("<ddif", start, end, label, confidence)
    raise AssertionError(row)


def ssi_stream(
    path: Path, values: np.ndarray, rate: float = 25.0, *, binary: bool = True, begin: float = 0.0
) -> Path:
    n, dim = values.shape
    kind = "BINARY" if binary else "ASCII"
    path.write_text(
        f'<?xml version="1.0" ?>\n<stream ssi-v="2">\n<info ftype="{kind}" sr="{rate:.6f}" dim="{dim}" '
        f'byte="4" type="FLOAT" delim=";"/>\n<meta/>\n'
        f'<chunk from="{begin:.6f}" to="{begin + n / rate:.6f}" byte="0" num="{n}"/>\n</stream>\n'
    )
    data = path.with_name(f"{path.name}~")
    if binary:
        data.write_bytes(values.astype("<f4").tobytes())
    else:
        np.savetxt(data, values, delimiter=";")
    return path


def openface(path: Path, values: np.ndarray, rate: float = 30.0, lost: tuple[int, ...] = ()) -> Path:
    """A table of OpenFace with more columns than those of its schema; values are 0 where the face is lost."""
    names = [
        "frame",
        "face_id",
        "timestamp",
        "confidence",
        "success",
        "gaze_0_x",
        *OPENFACE.features,
        "AU01_c",
    ]
    lines = [", ".join(names)]
    for k, row in enumerate(values):
        gone = k in lost
        head = [k + 1, 0, round(k / rate, 3), 0.03 if gone else 0.98, 0 if gone else 1, 0.1]
        lines.append(", ".join(map(str, [*head, *(np.zeros(OPENFACE.dim) if gone else row), 0.0])))
    path.write_text("\n".join(lines) + "\n")
    return path


def session(folder: Path, seconds: float = 20.0, schema: str | None = None) -> Path:
    """A session of two features at 25 Hz."""
    n = round(seconds * 25) + 1
    values = np.random.default_rng(0).normal(size=(n, 2))
    write_session(
        folder, {"voice": Samples("voice", np.arange(n) / 25, values, ("a", "b"), schema)}, "made up"
    )
    return folder


def rate(folder: Path, rater: str, times, values, dimension: str = "engagement") -> Path:
    path = path_of(folder, dimension, rater)
    write(Trace(rater, dimension, times, values), path)
    return path


def rate_turns(folder: Path, rater: str, rows, dimension: str = "engagement") -> Path:
    path = path_of(folder, dimension, rater)
    start, end, value = zip(*rows, strict=True)
    write(Intervals(rater, dimension, start, end, value, [np.nan] * len(rows)), path)
    return path


def simulated_session(
    folder: Path, seed: int, *, lags: np.ndarray | None = None, seconds: float = 300.0
) -> Simulated:
    """A session with the features of a made-up person, and the labels of made-up raters."""
    person = simulate(np.random.default_rng(seed), seconds=seconds, lags=lags)
    times = np.arange(len(person.truth)) / 10
    names = tuple(f"x{k}" for k in range(person.features.shape[1]))
    write_session(folder, {"behaviour": Samples("behaviour", times, person.features, names)}, "simulated")
    for k, row in enumerate(person.ratings):
        rate(folder, "abcdefgh"[k], times, np.clip(row, 0, 1))
    return person
