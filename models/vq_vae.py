"""VQ-VAE: an autoencoder with discrete codes from a codebook (van den Oord, Vinyals & Kavukcuoglu 2017).

    encoder    h = E(x), P positions of size C
    codebook   q_p = e_k with k = argmin_j ‖h_p − e_j‖
    decoder    p(x | q) = N(D(q), I)
    loss       ½ ‖x − D(q)‖² + ¼ ‖h − sg(q)‖²           (equation 3 with β = ¼, up to constants)

The gradient at q is passed straight through to h. The codebook is not trained by gradient: it holds moving
averages of the encoder's outputs (the paper's appendix A.1), and a code that stays unused is moved to an
output.

The same network codes images (two axes) and spectral frames (one). A training step:

    losses, encoded = model.loss(x)
    losses.total.backward()
    optimizer.step()
    model.codebook.update(encoded)

VQ-MDVAE (Sadok, Leglaive, Girin, Alameda-Pineda & Séguier 2023) puts an MDVAE between the encoder and the
codebook of trained VQ-VAEs. It models sequences of `encode`'s vectors, before quantisation; its decoded
vectors are quantised:

    x = {"audio": audio.encode(spectra), "video": video.encode(images)}  # [B, T, features], without grad
    modalities = tuple(Modality(name, v.shape[-1], likelihood="normal") for name, v in x.items())
    mdvae = MDVAE(MDVAEConfig(modalities))  # …normalised and trained
    z = {name: latent.mean for name, latent in mdvae.encode(x, mask).items()}
    images = video.decode(mdvae.decode(z)["video"])
"""

from math import prod

import torch
from torch import Tensor, nn

from .checked import Checked, Size
from .losses import Losses

COMMITMENT = 0.25  # the paper's β
STRIDE = 8  # of the three layers together: values along an axis per position


class VQVAEConfig(Checked, frozen=True, tag_field="model", tag="vq_vae"):
    """Sizes of a VQ-VAE.

    Attributes:
        shape: of a sample: (bins,) or (height, width), multiples of 8.
        codes: size of the codebook, K.
        size: dimensions of a code, C.
        hidden: channels of the networks; the outermost layer has half of them.
    """

    shape: tuple[Size, ...]
    codes: Size = 256
    size: Size = 8
    hidden: Size = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) not in (1, 2) or any(n < STRIDE or n % STRIDE for n in self.shape):
            raise ValueError(f"shape must be one or two multiples of {STRIDE}, found {self.shape}")
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
        h = h.detach().reshape(-1, h.shape[-1])
        index = self.nearest(h)
        chosen = torch.bincount(index, minlength=len(self.code))
        self.count.lerp_(chosen.to(h.dtype), 1 - self.DECAY)
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, index, h), 1 - self.DECAY)
        self.idle.add_(1).masked_fill_(chosen > 0, 0)
        dead = self.idle >= self.PATIENCE
        drawn = torch.randint(len(h), (int(dead.sum()),), generator=generator)
        self.total[dead] = h[drawn]
        self.count[dead] = 1.0
        self.idle[dead] = 0
        self.code.copy_(self.total / self.count.unsqueeze(-1))


class VQVAE(nn.Module):
    """A VQ-VAE of images or spectra; see the module's docstring.

    Values are float32 with any leading axes, `[…, *shape]`. Loss and initial weights suit about unit
    variance.

    Attributes:
        grid: positions along each axis of the shape.
        features: P·C, the length of a sample's vector.
    """

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = tuple(n // STRIDE for n in config.shape)
        self.features = prod(self.grid) * config.size
        self.codebook = Codebook(config.codes, config.size)
        half, hidden = config.hidden // 2, config.hidden
        conv, transposed = (
            (nn.Conv1d, nn.ConvTranspose1d) if len(config.shape) == 1 else (nn.Conv2d, nn.ConvTranspose2d)
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

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's output before quantisation, one vector per sample: `[…, *shape]` → `[…, P·C]`."""
        leading = x.shape[: x.dim() - len(self.config.shape)]
        h = self.encoder(x.reshape(-1, 1, *self.config.shape))  # [N, C, *grid]
        return h.flatten(2).transpose(1, 2).reshape(*leading, self.features)

    def decode(self, h: Tensor) -> Tensor:
        """Quantise and decode: `[…, P·C]` → `[…, *shape]`."""
        q = self.codebook(h.reshape(-1, prod(self.grid), self.config.size))  # [N, P, C]
        return self.decode_codes(q).reshape(*h.shape[:-1], *self.config.shape)

    def decode_codes(self, q: Tensor) -> Tensor:
        """The mean of p(x | q): `[N, P, C]` → `[N, *shape]`."""
        x: Tensor = self.decoder(q.transpose(1, 2).unflatten(2, self.grid))
        return x.squeeze(1)

    def loss(self, x: Tensor) -> tuple[Losses, Tensor]:
        """The loss of x `[N, *shape]`, averaged over samples, and h `[N, P, C]` for the codebook's update.

        Likelihood up to a constant; `kl` is the commitment ‖h − sg(q)‖² before its weight.
        """
        h = self.encode(x).unflatten(-1, (-1, self.config.size))  # [N, P, C]
        q = self.codebook(h)
        reconstruction = 0.5 * (x - self.decode_codes(q)).square().sum() / len(x)
        commitment = (h - q.detach()).square().sum() / len(x)
        return Losses(reconstruction + COMMITMENT * commitment, commitment, {"x": reconstruction}), h.detach()
