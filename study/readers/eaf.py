"""ELAN (`.eaf`): tiers of annotations. Written by the schema EAFv3.0 of the Max Planck Institute.

Times are milliseconds from the start of the media. A time slot without a value lies between its neighbours,
as ELAN shows it. Annotations that refer to another one have its time; several of one tier share it evenly.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np

from ...contracts.errors import UserError
from .contents import MAX_SPANS, Array, Spans, damaged, spans
from .xml import read_xml

_MAX_PAIRS: Final = 2**28

_Times = dict[str, tuple[float, float]]  # start and end by annotation, s


def read_eaf(path: Path) -> list[Spans]:
    """The tiers of a file, in its order; `rater` is the tier's ANNOTATOR.

    Raises:
        UserError: it cannot be read, or is not ELAN's.
    """
    root = read_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise UserError(f"{path}: not an ELAN file: its root is {root.tag[:60]}")
    with damaged(path, "an ELAN file"):
        slots = _slots(root)
        times = {
            a.attrib["ANNOTATION_ID"]: (slots[a.attrib["TIME_SLOT_REF1"]], slots[a.attrib["TIME_SLOT_REF2"]])
            for a in root.iter("ALIGNABLE_ANNOTATION")
        }
        _place_references(root, times)
        if len(times) > MAX_SPANS:
            raise UserError(f"{path}: more than {MAX_SPANS} annotations")
        return [_tier(tier, times) for tier in root.iter("TIER")]


def confidences(values: Spans, confidence: Spans) -> Array:
    """For each of `values`, the number in the tier `confidence` that overlaps it most; NaN without one.

    Raises:
        UserError: more pairs than can be compared.
    """
    if len(values.text) * len(confidence.text) > _MAX_PAIRS:
        raise UserError(f"{len(values.text)} spans and {len(confidence.text)} confidences: too many to pair")
    numbers = np.array([number(text) for text in confidence.text])
    found = np.full(len(values.text), np.nan)
    if not len(numbers):
        return found
    for k, (start, end) in enumerate(zip(values.start, values.end, strict=True)):
        overlap = np.minimum(confidence.end, end) - np.maximum(confidence.start, start)
        best = int(np.argmax(overlap))
        if overlap[best] > 0:
            found[k] = numbers[best]
    return found


def number(text: str) -> float:
    """The number that an annotation consists of, NaN if it is none."""
    plain = text.strip().replace(",", ".", 1)
    return float(plain) if re.fullmatch(r"[+-]?\d{1,12}(\.\d{0,12})?", plain, re.ASCII) else math.nan


def _slots(root: ET.Element) -> dict[str, float]:
    """Seconds by time slot."""
    order = root.find("TIME_ORDER")
    elements = [] if order is None else order.findall("TIME_SLOT")
    given = [e.get("TIME_VALUE") for e in elements]
    values = np.array([math.nan if v is None else int(v) / 1000 for v in given], float)
    there = np.flatnonzero(~np.isnan(values))
    if there.size:
        values = np.interp(np.arange(len(values)), there, values[there])
    return dict(zip((e.attrib["TIME_SLOT_ID"] for e in elements), values.tolist(), strict=True))


def _place_references(root: ET.Element, times: _Times) -> None:
    """Add the times of annotations that refer to another one."""
    waiting: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for tier in root.iter("TIER"):
        for a in tier.iter("REF_ANNOTATION"):
            waiting[a.attrib["ANNOTATION_REF"]][tier.attrib["TIER_ID"]].append(a.attrib["ANNOTATION_ID"])
    placed = list(times)
    while placed:
        parent = placed.pop()
        start, end = times[parent]
        for children in waiting.pop(parent, {}).values():  # of one tier
            step = (end - start) / len(children)
            for k, child in enumerate(children):
                times[child] = start + k * step, start + (k + 1) * step
            placed += children


def _tier(tier: ET.Element, times: _Times) -> Spans:
    rows = []
    for a in [*tier.iter("ALIGNABLE_ANNOTATION"), *tier.iter("REF_ANNOTATION")]:
        if (time := times.get(a.attrib["ANNOTATION_ID"])) is not None:
            rows.append((*time, a.findtext("ANNOTATION_VALUE") or ""))
    rows.sort(key=lambda row: row[0])
    return spans(tier.attrib["TIER_ID"], rows, tier.get("ANNOTATOR", ""))
