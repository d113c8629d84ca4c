"""Trains and scores one model with one library, in that library's environment; see ../multivae.py.

    python worker.py enrapt|multivae mvae|dmvae cnn|mlp FOLDER EPOCHS

Takes turns with other workers: before each epoch it waits for a line on its standard input, and after it
prints one of JSON.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

BATCH, LR = 128, 1e-3
LATENT = 32  # of MVAE
SHARED, PRIVATE = 16, {"image": 16, "label": 0}  # of DMVAE
DIGITS, SAMPLES = 500, 500  # of the log-likelihoods

Gaussian = tuple[Tensor, Tensor]  # mean and standard deviation, `[N, Z]`
Posterior = Callable[[Tensor], Gaussian]
Logits = Callable[[Tensor], Tensor]


class Turns:
    """The other side of the parent's pipe."""

    def __init__(self) -> None:
        self.pipe = os.fdopen(os.dup(1), "w")
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # libraries print to them
            os.dup2(nothing, stream)

    def take(self, result: dict[str, Any]) -> None:
        """Report, and wait for the next turn."""
        print(json.dumps(result), file=self.pipe, flush=True)
        sys.stdin.readline()
        self.start = time.process_time()

    def epoch(self, *_: Any, **__: Any) -> None:
        self.take({"cpu": time.process_time() - self.start})


def log_likelihood(image: Tensor, posterior: Posterior, logits: Logits) -> Tensor:
    """log p(image), nats, `[N]`: log 1/K Σ_k p(x | z_k) p(z_k) / q(z_k | x)  (Burda et al. 2016, equation 8).

    The prior of all latents is N(0, I).
    """
    mean, std = posterior(image)
    generator = torch.Generator().manual_seed(0)
    total = torch.full((len(image),), -torch.inf)
    for _ in range(SAMPLES):
        noise = torch.randn(mean.shape, generator=generator)
        z = mean + noise * std
        ratio = 0.5 * (noise.square() - z.square()).sum(-1) + torch.log(std).sum(
            -1
        )  # log p(z) − log q(z | x)
        nats = binary_cross_entropy_with_logits(logits(z), image, reduction="none").flatten(1).sum(-1)
        total = torch.logaddexp(total, ratio - nats)
    return total - math.log(SAMPLES)


def parts_of_enrapt(model: Any, kind: str) -> tuple[Posterior, Logits]:
    """q(z | image) of all latents of an image, and its decoder."""
    names = ["z"] if kind == "mvae" else ["shared", "image"]

    def posterior(image: Tensor) -> Gaussian:
        there = torch.ones(len(image), dtype=torch.bool)
        found = model.posterior({"image": image.flatten(1)}, {"image": there})
        return (
            torch.cat([found[name][0] for name in names], -1),
            torch.cat([torch.rsqrt(found[name][1]) for name in names], -1),
        )

    def logits(z: Tensor) -> Tensor:
        parts = z.split([model.sizes[name] for name in names], -1)
        outputs: Tensor = model.outputs("image", dict(zip(names, parts, strict=True)))
        return outputs.unflatten(-1, (1, 28, 28))

    return posterior, logits


def parts_of_multivae(model: Any, kind: str) -> tuple[Posterior, Logits]:
    from multivae.data.datasets import MultimodalBaseDataset

    def posterior(image: Tensor) -> Gaussian:
        data = MultimodalBaseDataset({"image": image})
        if kind == "mvae":
            mean, log_variance = model.compute_mu_log_var_subset(data, ["image"])
        else:  # of one modality alone, q(z | x) is its expert, as in training
            _, _, shared, private = model._infer_latent_parameters(data, ["image"])
            mean, log_variance = (
                torch.cat(both, -1) for both in zip(shared["image"], private["image"], strict=True)
            )
        return mean, torch.exp(0.5 * log_variance)

    return posterior, lambda z: model.decoders["image"](z).reconstruction


def main() -> None:
    library, kind, networks = sys.argv[1:4]
    folder, epochs = Path(sys.argv[4]), int(sys.argv[5])
    turns = Turns()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = np.load(folder / "digits.npz")
    image, label, test_image, test_label = (
        torch.from_numpy(digits[name]) for name in ("image", "label", "test_image", "test_label")
    )
    after_epoch: Any = turns.epoch
    if library == "enrapt":
        import with_enrapt as user

        parts = parts_of_enrapt
    else:
        import with_multivae as user
        from multivae.trainers.base.callbacks import TrainingCallback

        class Callback(TrainingCallback):
            on_epoch_end = turns.epoch

        parts, after_epoch = parts_of_multivae, Callback()
    model = user.mvae(networks, LATENT) if kind == "mvae" else user.dmvae(networks, SHARED, PRIVATE)
    turns.take({"parameters": sum(p.numel() for p in model.parameters())})
    user.train(model, image, label, BATCH, epochs, LR, str(folder / f"{library}_{kind}"), after_epoch)
    model.eval()
    with torch.no_grad():
        right = user.label_of(model, test_image).argmax(-1) == test_label.argmax(-1)
        np.save(folder / f"{library}_{kind}.npy", user.image_of(model, test_label).numpy())
        nats = log_likelihood(test_image[:DIGITS], *parts(model, kind))
    turns.take(
        {
            "label": right.double().mean().item(),
            "nats": nats.mean().item(),
            "error": nats.std().item() / math.sqrt(DIGITS),
        }
    )


if __name__ == "__main__":
    main()
