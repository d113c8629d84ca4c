"""Structural similarity of grey images (Wang, Bovik, Sheikh & Simoncelli 2004)."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW, DEVIATION = 11, 1.5  # of a Gaussian window, pixels
K1, K2 = 0.01, 0.03  # stabilise ratios of small numbers; full scale is 1


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The mean SSIM of images from 0 to 1 over all windows inside them, `[…, height, width]` → `[…]`.

    (2 μ_a μ_b + C₁) (2 σ_ab + C₂) / (μ_a² + μ_b² + C₁) (σ_a² + σ_b² + C₂)      (equation 13)
    """
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.softmax(-0.5 * (place / DEVIATION).square(), 0)
    a, b = a.double(), b.double()
    images = torch.stack([a, b, a * a, b * b, a * b]).flatten(0, -3).unsqueeze(1)
    local = conv2d(conv2d(images, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1)).squeeze(1)
    mean_a, mean_b, square_a, square_b, both = local.unflatten(0, (5, *a.shape[:-2]))
    variances = square_a - mean_a**2 + square_b - mean_b**2
    alike = (2 * mean_a * mean_b + K1**2) * (2 * (both - mean_a * mean_b) + K2**2)
    return (alike / ((mean_a**2 + mean_b**2 + K1**2) * (variances + K2**2))).mean((-2, -1))
