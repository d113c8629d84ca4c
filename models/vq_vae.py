"""VQ-VAE: an autoencoder with discrete codes from a codebook (van den Oord, Vinyals & Kavukcuoglu 2017).

    encoder    h = E(x), P positions of size C
    codebook   q_p = e_k with k = argmin_j ‖h_p − e_j‖
    decoder    p(x | q) = N(D(q), I)
    loss       ½ ‖x − D(q)‖² + ¼ ‖h − sg(q)‖²           (equation 3 with β = ¼, up to constants)

The gradient at q is passed straight through to h. The codebook is not trained by gradient: it holds moving
averages of the encoder's outputs (the paper's appendix A.1), and a code that stays unused is moved to an
output.

The codes' prior is uniform, so KL(q ‖ p) is P log K.

The same network codes images (two axes) and spectral frames (one).

VQ-MDVAE (Sadok, Leglaive, Girin, Alameda-Pineda & Séguier 2023) puts an MDVAE between the encoder and the
codebook of trained VQ-VAEs. It models sequences of the encoders' vectors, before quantisation; its decoded
vectors are quantised:

    x = {"audio": audio.vectors(spectra), "video": video.vectors(images)}  # [B, T, features], without grad
    mdvae = MDVAE([Modality(name, v.shape[-1], likelihood="normal") for name, v in x.items()])
    fit(mdvae, x)
    images = video.pictures(mdvae.decode(mdvae.encode(x))["video"])
"""

import math
from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from .arguments import check_count, check_generator, scored_names
from .batch import Batch, Data
from .checked import Size
from .latents import Inferred
from .likelihoods import Parameters, integers
from .losses import Losses
from .modality import Modality
from .model import Model, State
from .model_config import ModelConfig
from .normalised import Values

COMMITMENT = 0.25  # the paper's β
STRIDE = 8  # of the three layers together: values along an axis per position


class VQVAEConfig(ModelConfig, frozen=True, tag_field="model", tag="vq_vae"):
    """Sizes of a VQ-VAE, which has one modality, of shape (bins,) or (height, width), multiples of 8.

    Attributes:
        codes: size of the codebook, K.
        size: dimensions of a code, C.
        hidden: channels of the networks; the outermost layer has half of them.
    """

    codes: Size = 256
    size: Size = 8
    hidden: Size = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.modalities) != 1 or self.modalities[0].role != "observed":
            raise ValueError("a vq_vae has one modality, which is observed")
        (m,) = self.modalities
        if len(m.shape) not in (1, 2) or any(n < STRIDE or n % STRIDE for n in m.shape):
            raise ValueError(f"{m.name}: shape must be one or two multiples of {STRIDE}, found {m.shape}")
        if m.likelihood != "normal" or m.encoder is not None or m.decoder is not None:
            raise ValueError(f"{m.name}: a vq_vae has a normal likelihood and networks of its own")
        if self.hidden < 2:
            raise ValueError("hidden must be at least 2")


class Codebook(nn.Module):
    """The codes `[K, C]`: running means of the vectors assigned to them.

    With n_k vectors of a batch assigned to code k, s_k their sum and γ the decay:

        N_k ← γ N_k + (1 − γ) n_k,   m_k ← γ m_k + (1 − γ) s_k,   e_k = m_k / N_k
    """

    DECAY = 0.99
    PATIENCE = 50  # updates without an assigned vector, after which a code is moved

    code: Tensor
    count: Tensor
    total: Tensor
    idle: Tensor

    def __init__(self, codes: int, size: int) -> None:
        super().__init__()
        self.register_buffer("code", torch.randn(codes, size))
        self.register_buffer("count", torch.ones(codes))  # N
        self.register_buffer("total", self.code.clone())  # m
        # All count as unused: the first batch moves every code that it does not use.
        self.register_buffer("idle", torch.full((codes,), self.PATIENCE))

    def nearest(self, h: Tensor) -> Tensor:
        """The index of each vector's nearest code, `[…, C]` → int64 `[…]`."""
        return (self.code.square().sum(-1) - 2 * h @ self.code.T).argmin(-1)

    def forward(self, h: Tensor) -> Tensor:
        """The codes nearest to h `[…, C]`; the gradient is passed straight through to h."""
        return self.code[self.nearest(h)] + (h - h.detach())

    @torch.no_grad()
    def update(self, h: Tensor, generator: torch.Generator | None = None) -> None:
        """Update the codes from the encoder's outputs of a batch, `[…, C]`.

        A code without an assigned vector for `PATIENCE` updates moves to one of these outputs, drawn at
        random.
        """
        h = h.detach().reshape(-1, h.shape[-1]).to(self.code)
        if not len(h):
            return
        index = self.nearest(h)
        chosen = torch.bincount(index, minlength=len(self.code))
        self.count.lerp_(chosen.to(h.dtype), 1 - self.DECAY)
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, index, h), 1 - self.DECAY)
        self.idle.add_(1).masked_fill_(chosen > 0, 0)
        dead = self.idle >= self.PATIENCE
        drawn = integers(len(h), (int(dead.sum()),), h, generator)
        self.total[dead] = h[drawn]
        self.count[dead] = 1.0
        self.idle[dead] = 0
        self.code.copy_(self.total / self.count.unsqueeze(-1))


class VQVAE(Model):
    """A VQ-VAE of images or spectra; see the module's docstring.

    Loss and initial weights suit about unit variance. Its only latent, z `[B, P·C]`, is the encoder's output
    before quantisation; decoders quantise.

    Args:
        modalities: one, or a `VQVAEConfig`.
        options: those of `VQVAEConfig`.

    Attributes:
        grid: positions along each axis of the shape.
        length: P·C, the length of a sample's vector.
    """

    Config = VQVAEConfig

    def __init__(self, modalities: Iterable[Modality] | VQVAEConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config.modalities)
        self.config, (self.only,) = config, config.modalities
        self.grid = tuple(n // STRIDE for n in self.only.shape)
        self.length = prod(self.grid) * config.size
        self.sizes = {"z": self.length}
        self.codebook = Codebook(config.codes, config.size)
        half, hidden = config.hidden // 2, config.hidden
        conv, transposed = (
            (nn.Conv1d, nn.ConvTranspose1d) if len(self.grid) == 1 else (nn.Conv2d, nn.ConvTranspose2d)
        )
        self.encoder = nn.Sequential(
            conv(1, half, 4, stride=2, padding=1), nn.ReLU(),
            conv(half, hidden, 4, stride=2, padding=1), nn.ReLU(),
            conv(hidden, hidden, 4, stride=2, padding=1), nn.ReLU(),
            conv(hidden, config.size, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            conv(config.size, hidden, 3, padding=1), nn.ReLU(),
            transposed(hidden, hidden, 4, stride=2, padding=1), nn.ReLU(),
            transposed(hidden, half, 4, stride=2, padding=1), nn.ReLU(),
            transposed(half, 1, 4, stride=2, padding=1),
        )  # fmt: skip

    def vectors(self, x: Tensor) -> Tensor:
        """The encoder's output before quantisation, one vector per sample: raw `[…, *shape]` → `[…, P·C]`."""
        leading = x.shape[: x.ndim - len(self.grid)]
        x = x.reshape(-1, self.only.dim)
        return self.encoded({self.only.name: x}, {self.only.name: x.isfinite().all(-1)}).reshape(*leading, -1)

    def pictures(self, h: Tensor) -> Tensor:
        """The mean of p(x | q), q the codes nearest to h: `[…, P·C]` → raw `[…, *shape]`."""
        return self.shaped(self.only, self.mean(self.only, {"z": h}))

    def encoded(self, x: Values, mask: Values) -> Tensor:
        value = self.normalised(self.only.name, x[self.only.name], mask[self.only.name])
        h = self.encoder(value.reshape(-1, 1, *self.only.shape))  # [N, C, *grid]
        vectors: Tensor = h.flatten(2).transpose(1, 2).flatten(1)
        return vectors

    def inferred(self, encoded: Tensor, noise: Values | None, state: State | None = None) -> Inferred:
        return Inferred({}, {"z": encoded})  # not random

    def outputs(self, name: str, z: Values) -> Tensor:
        h = z["z"].reshape(-1, prod(self.grid), self.config.size)  # [N, P, C]
        return self.decoded(self.codebook(h)).unflatten(0, z["z"].shape[:-1])

    def decoded(self, q: Tensor) -> Tensor:
        """The normalised mean of p(x | q): codes `[N, P, C]` → `[N, D]`."""
        x: Tensor = self.decoder(q.transpose(1, 2).unflatten(2, self.grid))
        return x.flatten(1)

    def distribution(self, m: Modality, outputs: Tensor) -> Parameters:
        _, usual = self.moments(m.name)
        return Parameters(outputs, torch.ones_like(usual) if m.scale is None else m.scale / usual)

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The loss, averaged over samples that are present; `kl` is the commitment ‖h − sg(q)‖² before its
        weight, to which β applies.

        In training, the codebook is updated as well.
        """
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        seen = mask[self.only.name]
        number = seen.sum().clamp(min=1)
        h = self.encoded(x, mask).unflatten(-1, (-1, self.config.size))  # [N, P, C]
        q = self.codebook(h)
        nats = self.nats(self.only, x[self.only.name], seen, self.decoded(q)).sum() / number
        commitment = torch.where(seen.view(-1, 1, 1), h - q.detach(), 0.0).square().sum() / number
        if self.training:
            self.codebook.update(h[seen], generator)
        total = self.config.factor(self.only) * nats + beta * COMMITMENT * commitment
        return Losses(total, commitment, {self.only.name: nats})

    @torch.no_grad()
    def generate(self, count: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """New samples in raw units, `[count, *shape]`, of codes drawn from their uniform prior.

        They look like none of the data: a VQ-VAE learns no prior of its codes. For that there is the MDVAE of
        a VQ-MDVAE.
        """
        check_count("count", count)
        check_generator(generator)
        code = self.codebook.code
        h = code[integers(len(code), (count, prod(self.grid)), code, generator)].flatten(1)
        return self.draw({"z": h}, generator=generator)

    @torch.no_grad()
    def log_likelihood(
        self,
        data: Data | Batch,
        of: Iterable[str] | None = None,
        given: Iterable[str] = (),
        samples: int = 1,
        chunk: int = 100,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """A lower bound of log p(x), nats in raw units, `[N]`: log p(x | q) − P log K, of the one code q.

        Nothing is drawn, so `samples`, `chunk` and `generator` have no effect.
        """
        batch = self.batch(data)
        scored_names(of, given, batch.x, self.modalities)
        x, mask = self.flat(batch.x), batch.available
        name = self.only.name
        nats = self.cost(name, x[name], mask[name], {"z": self.encoded(x, mask)})
        nats = nats + self.log_volume(self.only) + prod(self.grid) * math.log(self.config.codes)
        return -nats * mask[name]
