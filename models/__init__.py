"""Multimodal variational models in PyTorch, their data, training and evaluation."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
from .annealing import Annealing
from .batch import Batch
from .causal import Causal, Filtered
from .coherence import coherence, conditional_accuracy
from .config import EarlyStopping
from .dmvae import DMVAE
from .ensemble import Ensemble
from .evaluation import evaluate
from .fit import fit
from .forward_filter import ForwardFilter
from .latents import Latents
from .losses import Losses
from .mdvae import MDVAE
from .missing import Dropout
from .mm_vrnn import MMVRNN
from .modality import Modality
from .model import Model
from .mvae import MVAE
from .recent_vrnn import RecentVRNN
from .run_folder import load, load_run
from .target import Prediction
from .training import Progress
from .turn_vrnn import TurnVRNN
from .vq_vae import VQVAE

__all__ = [
    "DMVAE",
    "MDVAE",
    "MMVRNN",
    "MVAE",
    "VQVAE",
    "Annealing",
    "Batch",
    "Causal",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "Filtered",
    "ForwardFilter",
    "Latents",
    "Losses",
    "Modality",
    "Model",
    "Prediction",
    "Progress",
    "RecentVRNN",
    "TurnVRNN",
    "coherence",
    "conditional_accuracy",
    "evaluate",
    "fit",
    "load",
    "load_run",
]
