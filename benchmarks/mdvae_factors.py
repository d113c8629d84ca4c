"""MDVAE on sequences with known factors: which latent encodes which factor, and what a swap changes.

    python benchmarks/mdvae_factors.py [--seed 0]

The latents have the sizes of the factors, which training does not use. Probes: linear regression from the
posterior means of one latent, fitted on 500 new sequences, R² on 500 others. Swaps: one latent is taken from
another sequence and decoded; R² against the noiseless truth with that factor from the other sequence, and
against the unchanged truth.
"""

import argparse
import time

import numpy as np
import torch
from audiovisual import learn
from datasets import audiovisual_factors

TRAINING, TICKS = 4_800, 40
EPOCHS = 20  # of 150 steps
WARMUP = 4  # epochs over which β rises to 1
FACTOR_OF = {"w": "static", "shared": "shared", "audio": "audio", "video": "video"}  # by latent


def tensors(x: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(v) for k, v in x.items()}


def r2(estimate: np.ndarray, truth: np.ndarray) -> float:
    return float(1 - np.square(truth - estimate).sum() / np.square(truth - truth.mean(0)).sum())


def probe(fit: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """R² on `test` of the regression fitted on `fit`; pairs of latents and factors, `[n, size]`."""
    design, design_test = (np.column_stack([z, np.ones(len(z))]) for z in (fit[0], test[0]))
    return r2(design_test @ np.linalg.lstsq(design, fit[1])[0], test[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    began = time.perf_counter()
    _, training = audiovisual_factors.simulate(np.random.default_rng(seed), TRAINING, TICKS)
    model = learn(tensors(training), seed=seed, batch=32, epochs=EPOCHS, warmup=WARMUP, rate=4e-3, static=2)
    print(f"trained in {time.perf_counter() - began:.0f} s\n")

    f, x = audiovisual_factors.simulate(np.random.default_rng((seed, 1)), 1000, TICKS)
    with torch.no_grad():
        z = model.encode(tensors(x))
    by_tick = {k: (v.unsqueeze(1).expand(-1, TICKS, -1) if k == "w" else v).numpy() for k, v in z.items()}
    print("R² of a factor (column) from a latent (row)")
    print(" " * 8 + "".join(f"{name:>8s}" for name in f))
    for name, latent in by_tick.items():
        parts = [[v[half].reshape(-1, v.shape[-1]) for v in (latent, factor)]
                 for factor in f.values() for half in (slice(0, 500), slice(500, None))]  # fmt: skip
        scores = [probe(fit, test) for fit, test in zip(parts[::2], parts[1::2], strict=True)]
        print(f"{name:8s}" + "".join(f"{score:8.2f}" for score in scores))

    print("\nR² of sequences decoded with one latent of another sequence, against the truth with that factor")
    print("of the other sequence, and (in brackets) against the unchanged truth")
    print(f"{'swapped':8s}" + "".join(f"{m:>16s}" for m in audiovisual_factors.DIMS))
    unchanged = audiovisual_factors.render(f)
    for name, factor in FACTOR_OF.items():
        truth = audiovisual_factors.render({**f, factor: np.roll(f[factor], 1, 0)})
        with torch.no_grad():
            decoded = model.decode(z.swap(name, z.roll(1)))
        line = f"{name:8s}"
        for m, value in decoded.items():
            ours, other, same = (v.reshape(-1, v.shape[-1]) for v in (value.numpy(), truth[m], unchanged[m]))
            line += f"{r2(ours, other):9.2f} ({r2(ours, same):4.2f})"
        print(line)


if __name__ == "__main__":
    main()
