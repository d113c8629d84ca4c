import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.ssim import ssim


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_an_image_is_similar_to_itself_and_the_order_does_not_matter():
    a, b = images(2, 3, 16, 20), images(2, 3, 16, 20, seed=1)
    torch.testing.assert_close(ssim(a, a), torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    assert ssim(a, b).shape == (2, 3)
    assert ssim(a, b).max() < 0.3


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.2, 0.7), (0.0, 1.0)])
def test_uniform_images_differ_by_luminance_alone(a, b):
    found = ssim(torch.full((16, 16), a), torch.full((16, 16), b))
    assert found.item() == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4), rel=1e-6)


def test_images_of_opposite_contrast_have_a_negative_similarity():
    a = images(24, 24)
    assert ssim(a, 1 - a) < -0.5


def test_ssim_is_that_of_a_gaussian_filter():
    a, b = (images(30, 40, seed=s).numpy() for s in (0, 1))
    b = 0.5 * a + 0.4 * b

    def local(x):
        return gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5]

    mean_a, mean_b = local(a), local(b)
    covariance = local(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (local(a * a) - mean_a**2 + local(b * b) - mean_b**2 + 9e-4)
    found = ssim(torch.from_numpy(a), torch.from_numpy(b))
    assert found.item() == pytest.approx((luminance * structure).mean(), rel=1e-9)
