"""A profile follows from the data by its formulas: shrinkage, offset, and labels."""

from functools import cache

import msgspec
import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import Moments
from enrapt.contracts.errors import UserError
from enrapt.models.datasets.conversation import simulate
from enrapt.realtime.engine.calibration import calibrate, fit_features, labelled_output, neutral_output
from enrapt.realtime.engine.engine import Engine

MOMENTS = Moments((0.0, 10.0), (1.0, 2.0), (1.0, 3.0))


def noise(rows: int) -> np.ndarray:
    """Independent rows `[n, 2]` of exactly mean 0 and deviation 1."""
    x = np.random.default_rng(0).standard_normal((rows, 2))
    return (x - x.mean(0)) / x.std(0)


def test_with_much_data_a_person_becomes_a_typical_one():
    own = noise(200_000) * [0.5, 3.0] + [4.0, 7.0]
    shift, scale = fit_features(own, MOMENTS, 125)
    there = shift + scale * own
    assert there.mean(0) == pytest.approx([0.0, 10.0], abs=0.01)
    assert there.std(0) == pytest.approx([1.0, 3.0], rel=0.01)


def test_a_person_like_those_of_training_is_left_alone():
    shift, scale = fit_features(noise(100_000) * [1.0, 3.0] + [0.0, 10.0], MOMENTS, 125)
    assert shift == pytest.approx([0.0, 0.0], abs=0.02)
    assert scale == pytest.approx([1.0, 1.0], abs=0.01)


def test_what_hardly_differs_between_people_is_not_believed_to():
    # The mean of 250 rows in two blocks is known to about 0.06, people differ by 0.001.
    same = Moments((0.0, 10.0), (1e-3, 1e-3), (1.0, 3.0))
    shift, scale = fit_features(noise(250) * [1.0, 3.0] + [0.01, 10.01], same, 125)
    assert shift + scale * [0.01, 10.01] == pytest.approx([0.01, 10.01], abs=0.02)


def test_a_feature_that_never_changes_is_not_scaled():
    shift, scale = fit_features(np.full((1000, 2), [3.0, 10.0]), MOMENTS, 125)
    assert scale.tolist() == [1.0, 1.0]
    assert shift == pytest.approx([-3.0, 0.0], abs=1e-6)


def test_a_neutral_person_is_brought_to_the_middle_by_the_precision_of_the_data():
    output = neutral_output(np.full(1500, -2.0), 250)
    assert output.offset == pytest.approx(2.0 / (1 + 0.3**2))
    assert (output.slope, output.variance) == (1.0, pytest.approx(0.09 / 1.09))
    uncertain = neutral_output(np.array([-5.0, 1.0] * 125), 250)
    assert uncertain.offset == pytest.approx(2.0 / (1 + 0.09 + 9.0))


def test_labels_give_the_line_that_they_lie_on():
    location = np.random.default_rng(0).standard_normal(1_000_000)
    output = labelled_output(location, 0.5 + 1.3 * location, 250)
    assert (output.offset, output.slope) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.3, abs=0.01))
    assert output.variance < 1e-3


def test_few_labels_change_little():
    output = labelled_output(np.zeros(25), np.full(25, 3.0) + np.tile([4, -4, 4, -4, 0], 5), 250)
    assert 0 < output.offset < 0.1
    assert output.slope == pytest.approx(1.0)


@cache
def minute() -> tuple[list[dict], np.ndarray]:
    found = simulate(np.random.default_rng(3), 1, 1500, 25)
    ticks = [
        {k: found.values[k][0, t] if found.available[k][0, t] else None for k in ("face", "audio")}
        for t in range(1500)
    ]
    return ticks, found.values["engagement"][0, :, 0].astype(float)


def test_where_a_person_sits_and_how_loud_the_microphone_is_make_no_difference():
    bundle, (ticks, _) = Bundle.load("default"), minute()
    far = np.zeros(57, np.float32)
    far[-3:] = 40, -30, -60  # cm
    moved = [
        {
            "face": None if t["face"] is None else t["face"] + far,
            "audio": None if t["audio"] is None else t["audio"] + np.float32(1.5),
        }
        for t in ticks
    ]
    plain, other = (Engine(bundle, profile=calibrate(bundle, "a", data)) for data in (ticks, moved))
    apart = [
        abs(plain.step(a).mean - other.step(b).mean) for a, b in zip(ticks, moved, strict=True)
    ]  # without a profile 0.16 on the mean
    assert np.mean(apart) < 0.05


def test_labels_bring_the_estimates_to_their_level():
    bundle, (ticks, _) = Bundle.load("default"), minute()
    for level in (0.2, 0.8):
        profile = calibrate(bundle, "a", ticks, np.full(1500, level))
        engine = Engine(bundle, profile=profile)
        assert np.mean([engine.step(t).mean for t in ticks]) == pytest.approx(level, abs=0.1)
        assert profile.labelled > 50


def test_too_little_is_refused(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    there, nothing = {"face": np.ones(57, np.float32)}, {"face": None}
    with pytest.raises(UserError, match=r"^4\.0 s of data are too little for a profile"):
        calibrate(bundle, "a", [there] * 100 + [nothing] * 1000)
    with pytest.raises(UserError, match=r"^2\.0 s of data with labels"):
        calibrate(bundle, "a", [there] * 1000, np.where(np.arange(1000) < 50, 0.5, np.nan))


def test_a_bundle_without_moments_gets_an_offset_only(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    ticks = [{"face": np.ones(57, np.float32)}] * 1500
    profile = calibrate(bundle, "a", ticks)
    assert profile.modalities == {}
    assert profile.output.offset < 0  # it estimates 0.6
    assert msgspec.json.decode(msgspec.json.encode(profile), type=type(profile)) == profile
