"""MDVAE on linear dynamics: the learned coefficient, and the distilled filter against the Kalman filter.

    python benchmarks/mdvae_linear.py [--seed 0]

z_t = 0.95 z_{t-1} + 0.5 N(0, 1), x_t = z_t + N(0, 1). The model has one modality and one dynamic latent of
one dimension. Learned a: the lag-1 regression coefficient of sequences sampled from the learned prior and
decoded to the mean of x, so in the units of the state; a model that copies x would learn the coefficient of
x. The filters' error is that of the state on new sequences, with every tick present or 30 % hidden; the
learned filter's mean is decoded in the same way. The smoother's error shows the gain from future inputs.
"""

import argparse
import time

import numpy as np
import torch
from datasets import linear_toy
from torch import Tensor

from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality

STREAMS, TICKS = 128, 30
STEPS, FILTER_STEPS = 1000, 600
WARMUP = 300  # steps over which β rises to 1; with 1 from the start the latent is not used
HIDDEN = 0.3  # share of ticks that are hidden in every other batch


def masked(rng: np.random.Generator, shape: tuple[int, int], share: float) -> Tensor:
    return torch.from_numpy(rng.random(shape) >= share)


def coefficient(x: Tensor) -> float:
    """Lag-1 regression coefficient of sequences `[B, T]`."""
    x = x - x.mean()
    return float((x[:, 1:] * x[:, :-1]).sum() / x[:, :-1].square().sum())


def optimise(parameters, steps, loss) -> None:
    optimizer = torch.optim.Adam(parameters, lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        cost = loss(step)
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 10.0)
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    began = time.perf_counter()

    modality = Modality("x", 1, likelihood="normal")
    model = MDVAE(MDVAEConfig((modality,), hidden=32, static=0, shared=1, private=0))
    moments = torch.from_numpy(linear_toy.simulate(rng, 1000, TICKS)[1])
    model.normalise("x", moments.mean().reshape(1), moments.std().reshape(1))

    def batch(share: float) -> tuple[dict[str, Tensor], ...]:
        """Values, `available` and `fed`."""
        x = torch.from_numpy(linear_toy.simulate(rng, STREAMS, TICKS)[1]).unsqueeze(-1)
        whole = torch.ones(STREAMS, TICKS, dtype=torch.bool)
        return {"x": x}, {"x": whole}, {"x": masked(rng, (STREAMS, TICKS), share)}

    def negative_elbo(step: int) -> Tensor:
        x, available, fed = batch(HIDDEN * (step % 2))
        beta = min(1.0, (step + 1) / WARMUP)
        return model.loss(x, available, fed, model.noise(STREAMS, TICKS), beta).total

    optimise(model.parameters(), STEPS, negative_elbo)
    print(f"model trained in {time.perf_counter() - began:.0f} s, {STEPS} steps", flush=True)
    with torch.no_grad():
        prior = model.decode(model.generate(model.noise(2000, 200)))["x"][:, 50:, 0]
    of_x = coefficient(moments)
    print(f"a: learned {coefficient(prior):.3f}, true {linear_toy.A}; of x itself {of_x:.3f}", flush=True)

    filter_ = ForwardFilter(model, hidden=32)

    def distance(step: int) -> Tensor:
        x, available, fed = batch(HIDDEN * (step % 2))
        state = filter_.initial_state(STREAMS)
        return filter_.loss(x, available, fed, state, model.noise(STREAMS, TICKS))[0]["shared"]

    optimise(filter_.parameters(), FILTER_STEPS, distance)
    print(f"filter distilled, {time.perf_counter() - began:.0f} s in all")

    z, x = linear_toy.simulate(np.random.default_rng((seed, 1)), 1000, TICKS)
    for share in (0.0, HIDDEN):
        present = masked(np.random.default_rng((seed, 2)), x.shape, share)
        inputs, mask = {"x": torch.from_numpy(x).unsqueeze(-1)}, {"x": present}
        with torch.no_grad():
            beliefs, _, _ = filter_(inputs, mask, filter_.initial_state(len(x)))
            ours = model.decode({"shared": beliefs["shared"].mean})["x"]
            smoothed = model.decode({"shared": model.encode(inputs, mask)["shared"].mean})["x"]
        exact = linear_toy.kalman(x, present.numpy())
        rmse = {
            "Kalman filter": exact,
            "forward filter": ours[..., 0].numpy(),
            "MDVAE's smoother": smoothed[..., 0].numpy(),
        }
        for name, estimate in rmse.items():
            error = np.sqrt(np.mean((estimate - z) ** 2))
            best = np.sqrt(np.mean((exact - z) ** 2))
            print(f"{100 * share:3.0f} % hidden  {name:17s} RMSE {error:.3f}  {error / best:.3f} × Kalman's")


if __name__ == "__main__":
    main()
