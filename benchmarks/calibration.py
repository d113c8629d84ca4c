"""What a minute of a person's own data does to estimates of people unlike the training set.

    python benchmarks/calibration.py [--people test|development] [--count N] [--strength S] [--bundle B]

Simulated people (see datasets/unlike_people.py) are neutral for a minute, then talk. Compared on the last
two minutes: no profile; one of the neutral minute; one of the next minute, with a rater's noisy labels; and
one that takes that minute for neutral, which it was not. What is chosen in `realtime/engine/calibration.py`
was chosen on the people of `development`.
"""

import argparse

import numpy as np
from datasets.unlike_people import NEUTRAL, RATE, unlike_people

SEEDS = {"development": 5, "test": 6}
NOISE = 0.05  # standard deviation of a label's slow error
WARM = 20  # s before what is scored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", choices=SEEDS, default="test")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--strength", type=float, default=1.0, help="0: people like the training set")
    parser.add_argument("--bundle", default="default")
    args = parser.parse_args()
    from enrapt.bundle.bundle import Bundle
    from enrapt.realtime.engine.calibration import calibrate

    bundle = Bundle.load(args.bundle)
    rng = np.random.default_rng((SEEDS[args.people], round(10 * args.strength)))
    found = unlike_people(rng, args.count, 2 * NEUTRAL + 120, args.strength)
    minute = NEUTRAL * RATE
    errors, covered = {}, {}
    for person, truth in enumerate(found.engagement.astype(np.float64)):
        ticks = ticks_of(found, person)
        second = slice(minute, 2 * minute)
        labels = np.clip(truth[second] + slow_noise(rng, minute), 0, 1)
        profiles = {
            "no profile": None,
            "60 s neutral": calibrate(bundle, "p", ticks[:minute]),
            "60 s labelled": calibrate(bundle, "p", ticks[second], labels),
            "60 s not neutral": calibrate(bundle, "p", ticks[second]),
        }
        for name, profile in profiles.items():
            mean, low, high = estimates(bundle, profile, ticks[2 * minute - WARM * RATE :])[:, WARM * RATE :]
            true = truth[2 * minute :]
            errors.setdefault(name, []).append(np.sqrt(np.mean((mean - true) ** 2)))
            covered.setdefault(name, []).append(np.mean((true >= low) & (true <= high)))
    print(f"{args.count} people, strength {args.strength:g}, {bundle.metadata.name}: RMSE over two minutes")
    print(f"{'':18s}{'median':>8s}{'quartiles':>16s}{'change':>9s}{'better':>8s}{'90 % holds':>12s}")
    before = np.array(errors["no profile"])
    for name, each in errors.items():
        rmse = np.array(each)
        low, median, high = np.quantile(rmse, [0.25, 0.5, 0.75])
        change = 100 * (median / np.median(before) - 1)
        better = "" if name == "no profile" else f"{np.mean(rmse < before):.0%}"
        print(
            f"{name:18s}{median:8.3f}{f'{low:.3f}–{high:.3f}':>16s}{change:+8.0f} %{better:>8s}"
            f"{np.mean(covered[name]):12.0%}",
            flush=True,
        )


def ticks_of(found, person: int) -> list[dict]:
    """A person's values at each tick, None where missing."""
    rows = {name: values[person] for name, values in found.values.items()}
    present = {name: ~np.isnan(values).any(-1) for name, values in rows.items()}
    return [
        {name: rows[name][t] if present[name][t] else None for name in rows}
        for t in range(len(found.engagement[person]))
    ]


def slow_noise(rng: np.random.Generator, ticks: int) -> np.ndarray:
    """A rater's error: it changes over 5 s or so."""
    each = rng.normal(0, NOISE, ticks // (5 * RATE) + 2)
    return np.interp(np.arange(ticks) / (5 * RATE), np.arange(len(each)), each)


def estimates(bundle, profile, ticks) -> np.ndarray:
    """Mean and interval at each tick, `[3, T]`."""
    from enrapt.realtime.engine.engine import Engine

    steps = map(Engine(bundle, profile=profile).step, ticks)
    return np.array([(step.mean, step.low, step.high) for step in steps]).T


if __name__ == "__main__":
    main()
