import numpy as np
import pytest

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.models.datasets.behaviour import behave, draw_engagement
from enrapt.models.datasets.conversation import simulate
from enrapt.models.datasets.people import draw_people
from enrapt.models.datasets.simulated_voice import FLOOR, loudness, mean_pitch, melody

RATE = 25


@pytest.fixture(scope="module")
def sessions():
    return simulate(np.random.default_rng(7), 48, 1500, RATE)


def test_a_seed_gives_the_same_people(sessions):
    again = simulate(np.random.default_rng(7), 48, 1500, RATE)
    for key, values in sessions.values.items():
        assert np.array_equal(values, again.values[key])
        assert np.array_equal(sessions.available[key], again.available[key])


def test_values_are_in_the_units_of_the_schemas(sessions):
    face, audio, y = (sessions.values[k] for k in ("face", "audio", "engagement"))
    assert face.shape == (48, 1500, FACE.dim)
    assert audio.shape == (48, 1500, AUDIO.dim)
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in (face, audio, y))
    assert (face[..., :51] >= 0).all() and (face[..., :51] <= 1).all()  # noqa: PT018
    assert (face[..., FACE.index("z")] < 0).all()
    assert (audio[..., :40] >= 0).all()
    assert (audio[..., AUDIO.index("level")] >= FLOOR).all()
    assert (audio[..., AUDIO.index("level")] <= 3).all()
    assert set(np.unique(audio[..., AUDIO.index("speech")])) <= {0, 0.25, 0.5, 0.75, 1}
    assert y.min() > 0
    assert y.max() < 1


def test_engagement_is_slow_and_fills_its_range():
    y = draw_engagement(np.random.default_rng(0), 64, 3000, RATE)
    assert np.quantile(y, 0.05) < 0.25
    assert np.quantile(y, 0.95) > 0.75
    a = y - y.mean(0)
    # High autocorrelation over one second, low over one minute.
    assert (a[:-RATE] * a[RATE:]).mean() / (a**2).mean() > 0.85
    assert (a[: -60 * RATE] * a[60 * RATE :]).mean() / (a**2).mean() < 0.3


@pytest.fixture(scope="module")
def low_and_high():
    """Behaviour of the same people at low and at high engagement."""
    out = []
    for level in (0.1, 0.9):
        rng = np.random.default_rng(11)
        people = draw_people(rng, 64)
        out.append(behave(rng, people, np.full((3000, 64), level, np.float32), RATE))
    return out


@pytest.mark.parametrize(
    ("behaviour", "measure"),
    [
        ("gaze to the partner", lambda b: (np.hypot(b.gaze_x, b.gaze_y) < 0.05).mean()),
        ("nods", lambda b: np.abs(b.nod)[b.partner].mean()),
        ("leaning forward", lambda b: b.lean.mean()),
        ("speaking", lambda b: b.speaking.mean()),
        ("less silence", lambda b: -(~b.speaking & ~b.partner).mean()),
    ],
)
def test_each_behaviour_follows_engagement_as_in_people_and_the_literature(low_and_high, behaviour, measure):
    low, high = (measure(b) for b in low_and_high)
    assert high > low, behaviour


@pytest.mark.parametrize(
    ("behaviour", "measure"),
    [("smiles", lambda b: b.smile.mean()), ("blinks", lambda b: b.blink.mean())],
)
def test_what_did_not_follow_engagement_in_people_hardly_does(low_and_high, behaviour, measure):
    low, high = (measure(b) for b in low_and_high)
    assert high == pytest.approx(low, rel=0.3), behaviour


def test_sessions_of_engaged_people_are_louder_and_higher_and_not_wider_in_pitch():
    people = draw_people(np.random.default_rng(0), 4)
    low, high = (np.full((10, 4), level, np.float32) for level in (0.2, 0.8))
    assert (loudness(people, high) > loudness(people, low)).all()
    assert (mean_pitch(people, high) > mean_pitch(people, low)).all()
    assert (melody(people, high) < melody(people, low)).all()
    # A moment changes them by its share of the session.
    moment = low.copy()
    moment[3] = 0.8
    np.testing.assert_allclose(
        loudness(people, moment) - loudness(people, low),
        (loudness(people, high) - loudness(people, low)) / 10,
        rtol=1e-3,
    )


def test_person_and_partner_mostly_speak_at_different_times(low_and_high):
    both = low_and_high[1].speaking & low_and_high[1].partner
    assert both.mean() < 0.1


def test_missing_values_come_in_bursts(sessions):
    face = sessions.available["face"]
    assert 0.8 < face.mean() < 0.99
    flips = np.diff(face.astype(int), axis=1).astype(bool).mean()
    assert flips < 2 * face.mean() * (1 - face.mean()) / 3
    assert 0.9 < sessions.available["audio"].mean() < 1


@pytest.mark.long
def test_simulated_features_cover_those_of_real_clips(clip_features):
    """Per feature: the means of real clips are within those of simulated people over the same time, and the
    spread within a clip has their size."""
    simulated = simulate(np.random.default_rng(5), 150, 600, RATE)
    for schema, modality in ((FACE, "face"), (AUDIO, "audio")):
        real = [f[modality] for f in clip_features if len(f[modality]) > 40]
        values, there = simulated.values[modality], simulated.available[modality]
        windows = [values[p, i : i + 75][there[p, i : i + 75]] for p in range(150) for i in (100, 450)]
        windows = [w for w in windows if len(w) > 40]
        means, spreads = (np.array([f(w, 0) for w in windows]) for f in (np.mean, np.std))
        clip_means, clip_spreads = (np.array([f(c, 0) for c in real]) for f in (np.mean, np.std))
        slack = np.array([0.01 if unit == "0..1" else 0.1 for unit in schema.units])
        low, high = np.quantile(means, [0.01, 0.99], axis=0)
        inside = (clip_means >= low - slack) & (clip_means <= high + slack)
        assert inside.mean() > 0.95, [
            n for n, ok in zip(schema.features, inside.mean(0), strict=True) if ok < 0.8
        ]
        ratio = (np.median(spreads, 0) + slack) / (np.median(clip_spreads, 0) + slack)
        # Real people before a teleprompter sit stiller than in a conversation, and purse their lips more.
        assert 0.6 < np.median(ratio) < 1.6
        assert np.mean((ratio > 1 / 3) & (ratio < 3)) > 0.9
