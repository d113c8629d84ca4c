"""An estimate is the same after a row of columns and back."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.engine.columns import columns, estimate_reader, modalities_of, numbers, signals
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency

NAMES = st.sampled_from(["face", "audio", "pulse", "present", "x_age_ms", "engagement", "tick", "wait"])
floats = st.floats(allow_nan=False, allow_infinity=False)  # no others are written


@st.composite
def estimates(draw) -> Estimate:
    modalities = draw(st.lists(NAMES, unique=True, max_size=4))

    def each(values: st.SearchStrategy) -> dict:
        return {modality: draw(values) for modality in modalities}

    def some() -> dict[str, float]:
        return {m: x for m, x in each(st.none() | floats).items() if x is not None}

    latency = Latency(draw(floats), draw(st.none() | floats), draw(st.none() | floats), some(), some())
    return Estimate(
        draw(st.integers(0)),
        draw(floats),
        Engagement(*(draw(floats) for _ in range(4))),
        each(st.booleans()),
        each(st.none() | floats),
        each(st.none() | floats),
        draw(st.sampled_from([msgspec.UNSET, latency])),
        draw(st.none() | st.integers(0, 9)),
        draw(st.none() | st.integers(1, 9)),
        draw(st.none() | st.tuples(floats, floats, floats, floats)),
        draw(st.none() | floats),
        draw(st.sampled_from([None, "too dark", "partly out of view"])),
    )


@given(estimates(), st.booleans())
def test_a_row_reads_back_as_the_same_json(estimate, as_text):
    """As text, like a cell of CSV, in which there are neither None nor booleans."""
    row = {column.name: column.get(estimate) for column in columns(estimate.present)}
    if as_text:
        row = {
            name: "" if cell is None else str(int(cell) if isinstance(cell, bool) else cell)
            for name, cell in row.items()
        }
    assert modalities_of(row) == list(estimate.present)
    read = estimate_reader(estimate.present)(row)
    assert read == estimate
    assert msgspec.json.encode(read) == msgspec.json.encode(estimate)


@given(estimates())
def test_every_cell_is_of_its_columns_kind(estimate):
    row = columns(estimate.present)
    assert len({column.name for column in row}) == len(row)
    for column in row:
        cell = column.get(estimate)
        assert type(cell) is column.kind or (cell is None and column.nullable)


@given(estimates())
def test_signals_are_the_columns_without_time_and_latency_as_floats(estimate):
    channels = signals(estimate.present)
    names = [column.name for column in channels]
    others = columns(estimate.present, timing=False, stamped=False)
    assert names == [c.name for c in others if c.kind is not str][2:]
    for number, column in zip(numbers(channels, estimate), channels, strict=True):
        cell = column.get(estimate)
        assert math.isnan(number) if cell is None else number == float(cell)


def test_columns_are_found_by_name():
    row = {"future": "x", "tick": 1, "t_s": 0.04, "face_present": 1, "face_surprise_nats": math.nan}
    row |= dict.fromkeys(("engagement_mean", "engagement_std", "engagement_low", "engagement_high"), 0.5)
    estimate = estimate_reader(["face"])(row)
    assert estimate.present == {"face": True}
    assert estimate.age_ms == estimate.surprise == {"face": None}
    assert estimate.latency_ms is msgspec.UNSET
    del row["t_s"]
    with pytest.raises(KeyError, match="t_s"):
        estimate_reader(["face"])(row)
