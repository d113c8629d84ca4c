"""Every model, untrained and small, with modalities of every likelihood, and data that fit it."""

from collections.abc import Callable

import torch
from torch import Tensor

from enrapt.models.dmvae import DMVAE
from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.mdvae import MDVAE
from enrapt.models.mm_vrnn import MMVRNN
from enrapt.models.modality import Likelihood, Modality
from enrapt.models.model import Model
from enrapt.models.mvae import MVAE
from enrapt.models.recent_vrnn import RecentVRNN
from enrapt.models.vq_vae import VQVAE

N, T = 3, 5
LIKELIHOODS: tuple[Likelihood, ...] = ("normal", "laplace", "bernoulli", "categorical", "logit_normal")
VECTORS = [Modality(kind, 1 + 2 * (i % 2), likelihood=kind) for i, kind in enumerate(LIKELIHOODS)]
IMAGE = Modality(
    "image",
    shape=(1, 8, 8),
    likelihood="normal",
    encoder="Sequential(Conv2d(1, 4, 4, 2, 1), ReLU(), Flatten())",
    decoder="Sequential(LazyLinear(64), ReLU(), Unflatten(1, (4, 4, 4)), ConvTranspose2d(4, 1, 4, 2, 1))",
)
CONTEXT = Modality("role", 2, role="context")
TARGETS = [
    Modality(f"{kind}_{dim}", dim, role="target", likelihood=kind) for kind in LIKELIHOODS for dim in (1, 3)
]
MODALITIES = [*VECTORS, IMAGE, *TARGETS]
FEW = [VECTORS[2], IMAGE, TARGETS[2], TARGETS[7], TARGETS[9]]  # with every likelihood, and fewer


def mdvae(modalities: list[Modality], **options: int) -> MDVAE:
    return MDVAE(modalities, hidden=6, **({"static": 3, "shared": 2, "private": 2} | options))


def mm_vrnn(modalities: list[Modality], fusion: str) -> MMVRNN:
    return MMVRNN([*modalities, CONTEXT], hidden=6, latent=3, fusion=fusion)


def vq_vae(*shape: int) -> VQVAE:
    return VQVAE([Modality("x", shape=shape, likelihood="normal")], codes=6, size=2, hidden=4)


MODELS: dict[str, Callable[[list[Modality]], Model]] = {
    "mvae": lambda ms: MVAE(ms, hidden=[6], latent=3),
    "mvae with all subsets": lambda ms: MVAE(ms[:5], hidden=[6], latent=3, subsets="all", cross=0.5),
    "dmvae": lambda ms: DMVAE(ms, hidden=[6], shared=3, private=2),
    "dmvae without private latents": lambda ms: DMVAE(ms, hidden=[6], shared=3, private=0),
    "mm_vrnn of experts": lambda ms: mm_vrnn(ms, "experts"),
    "mm_vrnn with zeros": lambda ms: mm_vrnn(ms, "zeros"),
    "mm_vrnn with tokens": lambda ms: mm_vrnn(ms, "token"),
    "recent_vrnn": lambda ms: RecentVRNN([*ms, CONTEXT], hidden=6, latent=3, ticks=[2.0, 4.0]),
    "mdvae": mdvae,
    "mdvae without w": lambda ms: mdvae(ms, static=0),
    "mdvae without private latents": lambda ms: mdvae(ms, private=0),
    "mdvae with a shared latent only": lambda ms: mdvae(ms, static=0, private=0),
    "forward filter": lambda ms: ForwardFilter(mdvae(ms), hidden=5),
    "forward filter without w": lambda ms: ForwardFilter(mdvae(ms, static=0), hidden=5),
    "forward filter of the recent past": lambda ms: ForwardFilter(mdvae(ms), hidden=5, ticks=(2.0, 4.0)),
    "vq_vae of spectra": lambda ms: vq_vae(16),
    "vq_vae of images": lambda ms: vq_vae(8, 16),
}


def build(name: str, modalities: list[Modality] = MODALITIES) -> Model:
    """That model with the same weights at every call, its real numbers normalised."""
    torch.manual_seed(0)
    model = MODELS[name](modalities).eval()
    for m in model.modalities:
        if m.likelihood in ("normal", "laplace"):
            model.normalise(m.name, torch.randn(m.dim), torch.rand(m.dim) + 0.5)
    return model


def leading(model: Model, count: int = N) -> tuple[int, ...]:
    """The shape of data without that of a value."""
    return (count,) if model.axes == 1 else (count, T)


def data_of(model: Model, seed: int = 1) -> dict[str, Tensor]:
    """Values of every modality, a quarter of them missing."""
    g = torch.Generator().manual_seed(seed)
    data = {}
    for m in model.modalities:
        shape = (*leading(model), *m.shape)
        match m.likelihood:
            case "normal" | "laplace":
                value = torch.randn(shape, generator=g)
            case "bernoulli":
                value = (torch.rand(shape, generator=g) < 0.5).float()
            case "categorical":
                value = torch.eye(m.dim)[torch.randint(m.dim, shape[:-1], generator=g)]
            case _:
                value = torch.rand(shape, generator=g)
        missing = torch.rand(leading(model), generator=g) < 0.25
        value[missing] = torch.nan
        data[m.name] = value
    return data
