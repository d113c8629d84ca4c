"""WebVTT and SubRip (`.vtt`, `.srt`): cues, each a stretch of speech; `<v NAME>` and `NAME:` say whose.

WebVTT: W3C, https://www.w3.org/TR/webvtt1/. SubRip has no standard: a number, a line such as
`00:01:02,500 --> 00:01:04,000`, lines of text, an empty line.
"""

import html
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError
from .contents import MAX_SPANS, Spans, spans, text_of

_TIME: Final = r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_ARROW: Final = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?", re.ASCII)
_NAMED: Final = re.compile(r"\s*[-–]?\s*([^\W\d][\w .-]{0,30}):\s")
_TAG: Final = re.compile(r"<[^<>]{0,200}>")


def read_subtitles(path: Path) -> list[Spans]:
    """The cues by speaker, in the order in which they first speak; one without a name for the rest.

    Raises:
        UserError: the file cannot be read, or has no cue.
    """
    speakers: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
    count = 0
    lines = text_of(path).splitlines()
    for k, line in enumerate(lines):
        if "-->" not in line or (match := _ARROW.fullmatch(line[:200])) is None:
            continue
        text = []
        for following in lines[k + 1 : k + 21]:
            if not following.strip() or "-->" in following:
                break
            text.append(following[:1000])
        whole = " ".join(text)
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        words = html.unescape(_TAG.sub("", whole))
        speakers[_speaker(whole)].append((start, end, words))
        if (count := count + 1) > MAX_SPANS:
            raise UserError(f"{path}: more than {MAX_SPANS} cues")
    if not speakers:
        raise UserError(f"{path}: no cue in it: expected lines such as 00:01:02.500 --> 00:01:04.000")
    return [spans(name, rows) for name, rows in speakers.items()]


def _speaker(text: str) -> str:
    """Who speaks in a cue; empty if it does not say."""
    begin = text.find("<v")
    end = text.find(">", begin) if begin >= 0 else -1
    if end >= 0 and (name := text[begin + 2 : end].partition(" ")[2].strip()):
        return html.unescape(name)[:100]
    named = _NAMED.match(text)
    return named[1].strip() if named else ""


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
