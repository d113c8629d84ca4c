"""MDVAE on linear dynamics: the learned coefficient, and the distilled filter against the Kalman filter.

    python benchmarks/mdvae_linear.py [--seed 0]

z_t = 0.95 z_{t-1} + 0.5 N(0, 1), x_t = z_t + N(0, 1). The model has one modality and one dynamic latent of
one dimension. In half of the training sequences 30 % of the ticks are hidden from the encoder. Learned a: the
lag-1 regression coefficient of sequences sampled from the learned prior and decoded to the mean of x, so in
the units of the state; a model that copies x would learn the coefficient of x. The filters' error is that of
the state on new sequences, with every tick present or 30 % hidden; the learned filter's mean is decoded in
the same way. The smoother's error shows the gain from future inputs.
"""

import argparse
import time

import numpy as np
import torch
from datasets import linear_toy
from torch import Tensor

from enrapt.models import MDVAE, Dropout, ForwardFilter, Modality, Model, fit

TRAINING, TICKS = 6_400, 30
EPOCHS, FILTER_EPOCHS = 20, 12  # of 50 steps
HIDDEN = 0.3  # share of ticks that are hidden


def coefficient(x: Tensor) -> float:
    """Lag-1 regression coefficient of sequences `[B, T]`."""
    x = x - x.mean()
    return float((x[:, 1:] * x[:, :-1]).sum() / x[:, :-1].square().sum())


def train(model: Model, x: Tensor, epochs: int, seed: int) -> None:
    hide = Dropout(absent=0, bursts=0, frames=0.5, frame_share=HIDDEN)
    fit(model, {"x": x}, batch=128, epochs=epochs, lr=5e-3, clip=10.0, dropout=hide, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    began = time.perf_counter()

    training = linear_toy.simulate(np.random.default_rng(seed), TRAINING, TICKS)[1]
    x = torch.from_numpy(training).unsqueeze(-1)
    model = MDVAE([Modality("x", 1, likelihood="normal")], hidden=32, static=0, shared=1, private=0)
    train(model, x, EPOCHS, seed)
    print(f"model trained in {time.perf_counter() - began:.0f} s", flush=True)
    nothing = {"x": torch.full((2000, 200, 1), torch.nan)}
    with torch.no_grad():
        prior = model.decode(model.encode(nothing, samples=1))["x"][0, :, 50:, 0]
    of_x = coefficient(x[..., 0])
    print(f"a: learned {coefficient(prior):.3f}, true {linear_toy.A}; of x itself {of_x:.3f}", flush=True)

    filter_ = ForwardFilter(model, hidden=32)
    train(filter_, x, FILTER_EPOCHS, seed)
    print(f"filter distilled, {time.perf_counter() - began:.0f} s in all")

    z, x = linear_toy.simulate(np.random.default_rng((seed, 1)), 1000, TICKS)
    for share in (0.0, HIDDEN):
        present = np.random.default_rng((seed, 2)).random(x.shape) >= share
        seen = {"x": np.where(present, x, np.float32(np.nan))[..., None]}
        exact = linear_toy.kalman(x, present)
        with torch.no_grad():
            filtered = model.decode({"shared": filter_.filter(seen).mean})["x"]
            smoothed = model.decode(model.encode(seen))["x"]
        estimates = {
            "Kalman filter": exact,
            "forward filter": filtered[..., 0].numpy(),
            "MDVAE's smoother": smoothed[..., 0].numpy(),
        }
        for name, estimate in estimates.items():
            error = np.sqrt(np.mean((estimate - z) ** 2))
            best = np.sqrt(np.mean((exact - z) ** 2))
            print(f"{100 * share:3.0f} % hidden  {name:17s} RMSE {error:.3f}  {error / best:.3f} × Kalman's")


if __name__ == "__main__":
    main()
