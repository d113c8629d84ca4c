"""Errors of estimated reaction lags, for made-up raters whose lags are known: uniform from 0 to 4 s.

    python -m benchmarks.rater_lags --seeds 100

A row for each way and each kind of rater: the error of a rater's lag in a session of five minutes with four
raters, s. `with features`: all lags; `ratings alone`: lags after that of the quickest rater.
"""

import argparse

import numpy as np

from enrapt.study.lags import estimate_lags
from enrapt.study.simulated_raters import simulate

RATE = 10.0
# The kernel of the true value, s, and each of the two noises of a rater, as a share of its deviation.
KINDS = {"as in the tests": (2.0, 0.2), "twice the noise": (2.0, 0.4), "slower changes": (4.0, 0.2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, default=100, metavar="N", help="sessions of each kind (%(default)s)"
    )
    args = parser.parse_args()
    print(f"{'raters':16} {'estimated from':14} {'median':>7} {'95 %':>7} {'worst':>7} {'within 0.2 s':>13}")
    for kind, (scale, noise) in KINDS.items():
        for way in ("with features", "ratings alone"):
            errors = np.concatenate([error(seed, scale, noise, way) for seed in range(args.seeds)])
            within = 100 * np.mean(errors < 0.2)
            numbers = (np.median(errors), np.quantile(errors, 0.95), errors.max())
            print(f"{kind:16} {way:14} " + " ".join(f"{x:7.3f}" for x in numbers) + f" {within:11.1f} %")


def error(seed: int, scale: float, noise: float, way: str) -> np.ndarray:
    """The errors of the raters of one session, s."""
    person = simulate(np.random.default_rng(seed), scale=scale, noise=noise)
    if way == "with features":
        return np.abs(estimate_lags([person.ratings], RATE, [person.features]) - person.lags)
    return np.abs(estimate_lags([person.ratings], RATE) - (person.lags - person.lags.min()))


if __name__ == "__main__":
    main()
