"""Reconstruction of a missing modality on two toy data sets, by an MM-VRNN.

    python benchmarks/toy_sequences.py [--seed 0]

The data sets are those of github.com/sathya-ml/multimodal-vrnn-vae (MIT), a public MM-VRNN: two modalities of
two numbers, the second made from the first, with noise e ~ N(0, σ² I) of its own in each.

    spirals     a = (A τ cos τ, A τ sin τ) + e,  τ from 0 to 4π,  A ~ U(0.5, 1.5)            σ = 0.25
                b = ((a₁ + a₂) / 2, (a₂ − a₁) / 2) + e
    quadratic   a = (x, x² + e),  x from −1 to 1                                              σ = 0.1
                b = (a₂, sin 2πx + a₂ / 2) + e

There, the points of the second are single samples. Here they are sequences, as the first: x starts anywhere,
in either direction, moves by 2/T a tick and turns at ±1.

A model is trained on 1,000 sequences of 50 ticks, and tested on 500 others, of which one modality is missing
in the second half, or throughout; the other is always there. The error is the RMSE of the missing modality
at the missing ticks of the second half, in standard deviations. Persistence is its last value, and the means
are those of the training sequences, of all ticks and of the same tick. As noise is added to b last, nothing
predicts it with a lower error than that noise.
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray

from enrapt.models import MMVRNN, Dropout, Modality, fit

Array = NDArray[np.float32]
TRAINING, TEST, TICKS = 1_000, 500, 50
HALF = TICKS // 2
NOISE = {"spirals": 0.25, "quadratic": 0.1}


def simulate(rng: np.random.Generator, name: str, count: int) -> dict[str, Array]:
    """Sequences of a data set, `[count, TICKS, 2]` by modality."""
    sigma = NOISE[name]
    if name == "spirals":
        tau = np.linspace(0, 4 * np.pi, TICKS)
        radius = rng.uniform(0.5, 1.5, (count, 1)) * tau
        a = np.stack([radius * np.cos(tau), radius * np.sin(tau)], -1)
        a = a + sigma * rng.normal(size=a.shape)
        b = np.stack([a[..., 0] + a[..., 1], a[..., 1] - a[..., 0]], -1) / 2
    else:
        way = rng.uniform(0, 4, (count, 1)) + 2 / TICKS * np.arange(TICKS)  # there and back again is 4
        x = np.abs(way % 4 - 2) - 1
        square = np.square(x) + sigma * rng.normal(size=x.shape)
        a = np.stack([x, square], -1)
        b = np.stack([square, np.sin(2 * np.pi * x) + square / 2], -1)
    b = b + sigma * rng.normal(size=b.shape)
    return {"a": a.astype(np.float32), "b": b.astype(np.float32)}


def train(x: dict[str, Array], seed: int) -> MMVRNN:
    torch.manual_seed(seed)
    model = MMVRNN([Modality(m, 2, likelihood="normal") for m in x], hidden=48, latent=8)
    hide = Dropout(absent=0.2, bursts=0.4, frames=0.0, burst_seconds=1.0)
    fit(model, x, batch=32, epochs=30, lr=5e-3, dropout=hide, rate=HALF, seed=seed)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    print(f"{'RMSE in standard deviations':30s}{'MM-VRNN':>9s}{'persistence':>13s}{'mean':>7s}"
          f"{'of the tick':>13s}{'noise':>7s}{'CPU s':>8s}")  # fmt: skip
    for name in NOISE:
        began = time.process_time()
        training = simulate(np.random.default_rng((seed, 1)), name, TRAINING)
        x = simulate(np.random.default_rng((seed, 2)), name, TEST)
        model = train(training, seed)
        seconds = time.process_time() - began
        for missing in ("b", "a"):
            whole, spread = training[missing], training[missing].std((0, 1))
            truth = x[missing][:, HALF:]

            def error(estimate: Array, truth: Array = truth, spread: Array = spread) -> float:
                return float(np.sqrt(np.mean(np.square((estimate - truth) / spread))))

            for since, words in ((HALF, "in the second half"), (0, "throughout")):
                seen = x | {missing: x[missing].copy()}
                seen[missing][:, since:] = np.nan
                with torch.no_grad():
                    found = model.decode(model.encode(seen), [missing])[missing][:, HALF:].numpy()
                last = f"{error(x[missing][:, HALF - 1 : HALF]):13.3f}" if since else f"{'–':>13s}"
                noise = f"{error(x['b'][:, HALF:] + NOISE[name]):7.3f}" if missing == "b" else f"{'–':>7s}"
                print(f"{name:10s}{missing} missing {words:19s}"[:30] + f"{error(found):9.3f}{last}"
                      f"{error(whole.mean((0, 1))):7.3f}{error(whole.mean(0)[HALF:]):13.3f}{noise}"
                      f"{seconds:8.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
