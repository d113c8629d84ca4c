"""A variational autoencoder of all modalities in one vector: a new model, as its author writes it.

prior      p(z) = N(0, I)
posterior  q(z | x), of all values and which of them are present
decoders   p(x_m | z)
loss       −E_q [Σ_m λ_m log p(x_m | z)] + β KL(q(z | x) ‖ p(z))
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .batch import Batch, Data
from .checked import Size
from .coders import decoder_of
from .experts import kl_divergence, precision
from .losses import Losses, averaged
from .modality import Modality, check_modalities
from .model import State
from .model_config import ModelConfig
from .normalised import Values
from .stateless import Gaussian, Stateless
from .target import TargetDecoder


class ToyConfig(ModelConfig, frozen=True, tag_field="model", tag="toy"):
    """Sizes of a toy.

    Attributes:
        latent: size of z.
    """

    latent: Size = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_modalities(self.modalities, ("z",), contexts=False)


class Toy(Stateless):
    """See the module's docstring."""

    Config = ToyConfig
    common = ("z",)

    def __init__(self, modalities: Iterable[Modality] | ToyConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config, self.sizes = config, {"z": config.latent}
        self.encoder = nn.Linear(sum(m.dim + 1 for m in self.modalities), 2 * config.latent)
        self.decoder = nn.ModuleDict()
        for m in self.modalities:
            target = m.role == "target"
            self.decoder[m.name] = (
                TargetDecoder(m, config.latent) if target else decoder_of(self, m, config.latent)
            )

    def posterior(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        some = next(iter(mask.values()))
        parts = []
        for m in self.modalities:
            seen = mask.get(m.name, torch.zeros_like(some))
            value = x.get(m.name, self.moments(m.name)[0].expand(*some.shape, -1))
            parts += [self.encoder_input(m.name, value, seen), seen.unsqueeze(-1).to(value.dtype)]
        mean, raw = self.encoder(torch.cat(parts, -1)).chunk(2, -1)
        return {"z": (mean, precision(raw))}

    def outputs(self, name: str, z: Values) -> Tensor:
        return self.decoder[name](z["z"])

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The negative ELBO. Inputs alone are encoded, so that a target is learned from them."""
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        there = torch.stack([*mask.values()]).any(0)
        inputs = {m.name: mask[m.name] for m in self.observed if m.name in x}
        found = self.inferred(self.posterior(x, inputs), self.noise((batch.size,), generator))
        q = found.latents["z"]
        kl = averaged(kl_divergence(*q[:4]), there, there, False)
        costs = {
            name: averaged(self.cost(name, x[name], mask[name], found.z), mask[name], there, False)
            for name in x
        }
        total = beta * kl + sum(self.config.factor(self.by_name[name]) * nats for name, nats in costs.items())
        return Losses(total, kl, costs)
