"""Multilayer perceptrons and their initial weights."""

from itertools import pairwise

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
    of z. On MNIST it cost nearly 30 nats of log p(image) after six epochs. Networks that a user gave keep the
    weights that they came with.
    """
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        elif not isinstance(layer, PerSample):
            he_initialise(layer)
