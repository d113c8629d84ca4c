import numpy as np
import torch
from torch.distributions import Normal

from benchmarks.datasets.audiovisual_classes import CLASSES, PLACES, SPREAD, bayes, simulate
from benchmarks.datasets.audiovisual_factors import DIMS


def test_static_factors_lie_around_the_point_of_their_class():
    label, static, _ = simulate(np.random.default_rng(0), 20_000, 1)
    assert np.bincount(label).min() > 20_000 / CLASSES * 0.9
    for m, s in static.items():
        error = s - PLACES[label]
        np.testing.assert_allclose(error.mean(0), 0, atol=0.03)
        np.testing.assert_allclose(error.std(0), SPREAD[m], rtol=0.03)
    assert abs(np.mean((static["audio"] - PLACES[label]) * (static["video"] - PLACES[label]))) < 0.01


def test_on_each_axis_classes_coincide_in_pairs_and_no_pair_on_both():
    same = np.isclose(PLACES[:, None], PLACES)  # [classes, classes, axes]
    assert (same.sum(1) == 2).all()
    assert np.array_equal(same.all(-1), np.eye(CLASSES, dtype=bool))


def test_given_the_class_a_modality_depends_on_its_own_static_factor_only():
    label, static, x = simulate(np.random.default_rng(0), 3000, 100)
    own = {m: s - PLACES[label] for m, s in static.items()}  # without the class
    for m, other in (("audio", "video"), ("video", "audio")):
        assert x[m].shape == (3000, 100, DIMS[m])
        level = x[m].mean(1) - np.stack([x[m][label == c].mean((0, 1)) for c in range(CLASSES)])[label]
        explained = {k: level - own[k] @ np.linalg.lstsq(own[k], level)[0] for k in (m, other)}
        assert explained[m].var() < 0.7 * level.var()
        assert explained[other].var() > 0.99 * level.var()


def test_bayes_weights_each_modality_on_its_informative_axis():
    contrary = {"audio": PLACES * [-1, 1], "video": PLACES * [1, -1]}
    assert bayes(contrary).tolist() == list(range(CLASSES))


def test_bayes_is_the_most_probable_class_by_the_densities():
    static = simulate(np.random.default_rng(0), 200, 1).static
    places = torch.from_numpy(PLACES)
    log_density = sum(
        Normal(places, torch.from_numpy(SPREAD[m])).log_prob(torch.from_numpy(s)[:, None]).sum(-1)
        for m, s in static.items()
    )
    assert np.array_equal(bayes(static), log_density.argmax(-1))


def test_two_modalities_are_more_informative_than_one():
    label, static, _ = simulate(np.random.default_rng(0), 20_000, 1)
    alone = [np.mean(bayes({m: s}) == label) for m, s in static.items()]
    assert 0.6 < min(alone) <= max(alone) < 0.7
    assert 0.86 < np.mean(bayes(static) == label) < 0.92
