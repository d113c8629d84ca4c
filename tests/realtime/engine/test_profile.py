"""A profile maps values and estimates exactly as it says, and fits one bundle."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.profile import Mapped, Output, Profile, location_scale, mapped

ONES = np.ones(FACE.dim, np.float32)


def profile_of(bundle: Bundle, output: Output = Output(), **modalities: Mapped) -> Profile:  # noqa: B008
    return Profile(
        name="anna",
        made="2026-01-01T12:00:00+01:00",
        bundle=bundle.metadata.name,
        bundle_sha256=bundle.metadata.sha256,
        seconds=60.0,
        labelled=0.0,
        modalities=modalities,
        output=output,
    )


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle)


def test_values_are_mapped_feature_by_feature(bundle):
    shift, scale = np.arange(FACE.dim, dtype=float), np.full(FACE.dim, 2.0)
    profile = profile_of(bundle, face=Mapped("face/1", tuple(shift), tuple(scale), 60.0))
    step = Engine(bundle, profile=profile).step({"face": ONES, "audio": np.full(44, 3.0, np.float32)})
    # The tiny bundle's surprise is the mean of the values that it was given.
    assert step.surprise == {"face": pytest.approx(shift.mean() + 2), "audio": pytest.approx(3.0)}


def test_the_callers_values_stay_as_they_are(bundle):
    values = ONES.copy()
    Engine(bundle, profile=profile_of(bundle, face=Mapped("face/1", (1.0,) * 57, (2.0,) * 57, 9.0))).step(
        {"face": values}
    )
    assert (values == 1).all()


def test_an_estimate_without_offset_is_that_of_the_graph():
    engine = Engine(Bundle.load("default"))
    step = engine.step({"face": ONES * 0.1, "audio": None})
    location, scale = location_scale(step.low, step.high)
    assert mapped(Output(), location, scale) == pytest.approx(tuple(step)[:4], abs=1e-4)


def test_an_offset_is_on_the_logit(bundle):
    step = Engine(bundle, profile=profile_of(bundle, Output(offset=1.0))).step({"face": ONES})
    plain = Engine(bundle).step({"face": ONES})
    for after, before in ((step.low, plain.low), (step.high, plain.high)):
        assert after == pytest.approx(1 / (1 + math.exp(-1) * (1 - before) / before))


@given(st.floats(-50, 50), st.floats(0.1, 3), st.floats(0, 10), st.floats(0, 1), st.floats(0, 1))
def test_what_comes_out_can_be_an_estimate(offset, slope, variance, low, high):
    low, high = sorted((low, high))
    mean, std, left, right = mapped(Output(offset, slope, variance), *location_scale(low, high))
    assert 0 <= left <= right <= 1
    assert 0 <= mean <= 1
    assert 0 <= std <= 0.5


def test_it_can_be_set_and_taken_away_between_steps(bundle):
    engine = Engine(bundle)
    plain = engine.step({"face": ONES}).low
    engine.profile = profile_of(bundle, Output(offset=-1.0))
    assert engine.step({"face": ONES}).low < plain
    engine.profile = None
    assert engine.step({"face": ONES}).low == plain


@pytest.mark.parametrize(
    ("changes", "modality", "message"),
    [
        ({"bundle_sha256": "0" * 64}, {}, "was made with tiny, sha256 000000000000"),
        ({}, {"schema": "face/2"}, "face is face/2 of 57 numbers in it, but face/1 of 57 in tiny"),
        ({}, {"shift": (0.0,) * 3, "scale": (1.0,) * 3}, "face/1 of 3 numbers in it, but face/1 of 57"),
    ],
)
def test_one_of_another_bundle_or_schema_is_refused_in_one_line(bundle, changes, modality, message):
    face = msgspec.structs.replace(Mapped("face/1", (0.0,) * 57, (1.0,) * 57, 60.0), **modality)
    profile = msgspec.structs.replace(profile_of(bundle, face=face), **changes)
    with pytest.raises(UserError, match=message) as caught:
        Engine(bundle, profile=profile)
    assert "calibrate again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_of_a_modality_that_the_bundle_lacks_is_refused(bundle):
    with pytest.raises(UserError, match="tiny takes no gait"):
        Engine(bundle, profile=profile_of(bundle, gait=Mapped(None, (0.0,), (1.0,), 60.0)))
