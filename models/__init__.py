"""Multimodal variational models in PyTorch, their data, training and evaluation."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
from .annealing import Annealing
from .batch import Batch
from .dmvae import DMVAE
from .fit import fit
from .forward_filter import ForwardFilter
from .latents import Latents
from .mdvae import MDVAE
from .missing import Dropout
from .mm_vrnn import MMVRNN
from .modality import Modality
from .model import Model
from .mvae import MVAE
from .run_folder import load
from .vq_vae import VQVAE

__all__ = [
    "DMVAE",
    "MDVAE",
    "MMVRNN",
    "MVAE",
    "VQVAE",
    "Annealing",
    "Batch",
    "Dropout",
    "ForwardFilter",
    "Latents",
    "Modality",
    "Model",
    "fit",
    "load",
]
