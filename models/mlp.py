"""Multilayer perceptrons and their initial weights."""

from itertools import pairwise

import torch
from torch import nn

from .networks import PerSample


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, `[…, widths[0]]` → `[…, widths[-1]]`."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def he_initialise(model: nn.Module) -> None:
    """Weights N(0, 2 / inputs) and biases 0, for layers with ReLU between them (He et al. 2015).

    PyTorch's default has a sixth of that variance in every layer, so that decoders start almost independent
    of z: on MNIST it costs some 50 nats of log p(image) after six epochs. Networks that a user gave keep the
    weights that they came with.
    """
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        elif not isinstance(layer, PerSample):
            he_initialise(layer)


@torch.no_grad()
def begin_small(layer: nn.Linear, unbounded: int) -> None:
    """Initial weights of a last layer, which no ReLU follows: PyTorch's, and 0 for the outputs that become
    precisions or scales.

    With He's weights precisions and scales start anywhere, and the first loss is that of a model which is
    very sure and very wrong: on action units up to 10⁶ nats instead of 300, and the loss after ten epochs is
    not better. On MNIST there is no difference. PyTorch's weights in all layers are better on action units
    and far worse on MNIST. `benchmarks/initialisation.py`, one seed.

    After a user's encoder, whose features are small with PyTorch's weights, precisions that begin equal in
    all latents delay the use of z: on MNIST, five epochs of 10,000 digits, log p(image) was 15 to 27 nats
    lower than with PyTorch's weights for all outputs.

    Args:
        unbounded: how many of the outputs, the last ones, become precisions or scales.
    """
    layer.reset_parameters()
    if unbounded:
        layer.weight[-unbounded:] = 0
        layer.bias[-unbounded:] = 0
