"""The encoders and decoders of a model: those that a user gives, or multilayer perceptrons."""

import math

import torch
from torch import nn

from ..contracts.errors import UserError
from .likelihoods import width
from .mlp import mlp
from .modality import Modality
from .networks import given
from .normalised import Normalised


def encoder_of(m: Modality, *widths: int) -> tuple[nn.Module, int]:
    """A modality's encoder, `[…, D]` → `[…, F]`, and F: the user's, or linear layers of these widths, each
    with a ReLU."""
    if m.encoder is not None:
        return given(m.encoder, m.shape, f"the encoder of {m.name}")
    network = nn.Sequential(mlp(m.dim, *widths), nn.ReLU()) if widths else nn.Identity()
    return network, (m.dim, *widths)[-1]


def decoder_of(model: Normalised, m: Modality, latent: int, *widths: int) -> nn.Module:
    """A modality's decoder, `[…, latent]` → `[…, width]`, or `[…, D]` where the scale is not predicted: the
    user's, or a multilayer perceptron.

    Args:
        model: gets a learned scale where there is no other.

    Raises:
        UserError: the user's does not take the latents, or has neither D nor as many outputs as the
            likelihood has parameters.
    """
    whole = width(m.likelihood, m.dim)
    if m.decoder is None:
        return mlp(latent, *widths, whole if m.scale is None else m.dim)
    network, outputs = given(m.decoder, (latent,), f"the decoder of {m.name}")
    if outputs not in (m.dim, whole):
        expected = " or ".join(map(str, dict.fromkeys((m.dim, whole))))
        raise UserError(f"the decoder of {m.name} has {outputs} outputs, expected {expected}")
    if outputs < whole and m.scale is None:
        model.raw_scale[m.name] = nn.Parameter(torch.full((m.dim,), math.log(math.e - 1)))  # a scale of 1
    return network
