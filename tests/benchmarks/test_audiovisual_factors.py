import numpy as np

from benchmarks.datasets import audiovisual_factors
from benchmarks.datasets.audiovisual_factors import DIMS, FACTORS, NOISE


def test_factors_have_the_documented_dynamics():
    f = audiovisual_factors.factors(np.random.default_rng(0), 2000, 20)
    assert {name: v.shape for name, v in f.items()} == {k: (2000, 20, n) for k, n in FACTORS.items()}
    assert np.array_equal(f["static"][:, 0], f["static"][:, -1])
    for name in ("shared", "audio", "video"):
        np.testing.assert_allclose(f[name].std((0, 1)), 1, atol=0.03)
        np.testing.assert_allclose((f[name][:, 1:] * f[name][:, :-1]).mean((0, 1)), 0.8, atol=0.03)


def test_a_private_factor_affects_its_own_modality_only():
    f = audiovisual_factors.factors(np.random.default_rng(0), 4, 5)
    before = audiovisual_factors.render(f)
    after = audiovisual_factors.render({**f, "audio": f["audio"] + 1})
    assert np.array_equal(before["video"], after["video"])
    assert not np.array_equal(before["audio"], after["audio"])


def test_observations_are_rendered_factors_and_noise():
    f, x = audiovisual_factors.simulate(np.random.default_rng(0), 200, 20)
    for m, clean in audiovisual_factors.render(f).items():
        assert x[m].shape == (200, 20, DIMS[m])
        np.testing.assert_allclose((x[m] - clean).std(), NOISE, rtol=0.02)
