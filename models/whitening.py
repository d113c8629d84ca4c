"""A linear layer of whitened inputs.

    y = V W x + b        W = (C + ε)^−½        C: covariance of the inputs

Features that vary together leave little variance to what tells them apart, and gradients are slow there. With
inputs of covariance 1 they are as fast everywhere (LeCun, Bottou, Orr & Müller, *Efficient BackProp*, 1998,
section 4.3); ε keeps noise small. W is fixed, and V learned. The product V W is computed, not W x, which for
many ticks costs almost nothing.
"""

from copy import deepcopy
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

LEAST_VARIANCE: Final = 0.1  # ε, of inputs whose variance is 1
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class WhitenedLinear(nn.Linear):
    """A layer whose weights apply to whitened inputs; a usual one until `fit`.

    Attributes:
        whitening: W, `[F, F]`.
    """

    whitening: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("whitening", torch.eye(inputs))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set W by inputs `[N, F]`."""
        x = x - x.mean(0)
        variances, axes = torch.linalg.eigh((x.T @ x / max(len(x), 1)).double())
        self.whitening.copy_((axes / torch.sqrt(variances.clamp(min=0) + LEAST_VARIANCE)) @ axes.T)

    def forward(self, x: Tensor) -> Tensor:
        """`[…, F]` → `[…, outputs]`."""
        return nn.functional.linear(x, self.weight @ self.whitening, self.bias)


def whitened(inputs: int, outputs: int) -> tuple[nn.Module, int]:
    """A whitened layer with a ReLU, and the number of its features."""
    return nn.Sequential(WhitenedLinear(inputs, outputs), nn.ReLU()), outputs


def fit_whitened(network: nn.Module, x: Tensor) -> None:
    """Whiten the inputs `[N, F]` of a network's whitened layers, if it has any."""
    for layer in network.modules():
        if isinstance(layer, WhitenedLinear):
            layer.fit(x)


@torch.no_grad()
def folded(model: AnyModule) -> AnyModule:
    """A copy whose whitened layers are usual ones, of weights V W."""
    found = deepcopy(model)
    for parent in list(found.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, WhitenedLinear):
                usual = nn.Linear(layer.in_features, layer.out_features).to(layer.weight)
                usual.weight.copy_((layer.weight.double() @ layer.whitening.double()).to(layer.weight))
                usual.bias.copy_(layer.bias)
                setattr(parent, name, usual)
    return found
