"""Models of single samples, whose latents have the prior N(0, I) and are independent given the data.

In a stream, each tick is a sample by itself.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from .arguments import check_count
from .batch import Batch, Data
from .causal import Causal, Filtered
from .latents import Inferred, Latent
from .likelihoods import width
from .mlp import begin_small, he_initialise
from .model import State
from .normalised import Values
from .recurrence import Recur

Gaussian = tuple[Tensor, Tensor]  # mean and precision, `[…, Z]`


class Stateless(Causal):
    """A model of samples.

    Attributes:
        common: latents that a target's decoder takes.
    """

    common: ClassVar[tuple[str, ...]]
    encoder: nn.ModuleDict

    def initialise(self) -> None:
        """Initial weights of all layers but those of a user's networks; see `mlp`."""
        he_initialise(self)
        for m in self.modalities:
            *_, last = self.encoder[m.name].children()  # to means and raw precisions
            assert isinstance(last, nn.Linear)
            begin_small(last, last.out_features // 2 if m.encoder is None else 0)
            if m.role == "target":
                begin_small(self.target_decoder(m).of_z, width(m.likelihood, m.dim) - m.dim)
            elif m.decoder is None:
                *_, last = self.decoder[m.name].children()
                assert isinstance(last, nn.Linear)
                begin_small(last, last.out_features - m.dim)

    @abstractmethod
    def posterior(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        """q(z | what is present) by latent, `[…, Z]`; x `[…, D]`, mask bool `[…]`."""

    def encoded(self, x: Values, mask: Values) -> dict[str, Gaussian]:
        return self.posterior(x, mask)

    def inferred(
        self, encoded: Mapping[str, Gaussian], noise: Values | None, state: State | None = None
    ) -> Inferred:
        latents = {}
        for name, (mean, precision) in encoded.items():
            z = mean if noise is None else mean + noise[name] * torch.rsqrt(precision)
            latents[name] = Latent(mean, precision, torch.zeros_like(mean), torch.ones_like(mean), z)
        return Inferred(latents, {})

    def drawn(self, encoded: Mapping[str, Gaussian], noise: Values) -> Inferred:
        return self.inferred(encoded, noise)  # draws broadcast

    @torch.no_grad()
    def generate(self, count: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """New samples in raw units, `[count, *shape]` by modality: z from the prior, x from the decoders."""
        check_count("count", count)
        return self.draw(self.noise((count,), generator), generator=generator)

    def initial_state(self, batch: int) -> State:
        """Nothing is carried from sample to sample."""
        return ()

    def filter(self, data: Data | Batch, state: State = (), recur: Recur | None = None) -> Filtered:
        """Every target given what is present in a sample; the surprise is that under the prior's mean."""
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        posterior = self.posterior(x, mask)
        mean, precision = (torch.cat([posterior[name][i] for name in self.sizes], -1) for i in (0, 1))
        common = [posterior[name] for name in self.common]
        known = torch.cat([q[0] for q in common], -1), torch.cat([1 / q[1] for q in common], -1)
        prior = {name: mean.new_zeros(size) for name, size in self.sizes.items()}
        return Filtered(
            {m.name: self.predict(m, *known) for m in self.targets},
            mean,
            torch.rsqrt(precision),
            {
                name: self.cost(name, x[name], mask[name], prior)
                for name in x
                if self.by_name[name].role == "observed"
            },
            (),
            {},
        )
