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
    second, scored = slice(minute, 2 * minute), slice(2 * minute, None)
    truth = found.engagement.astype(np.float64)
    people = [ticks_of(found, person) for person in range(args.count)]
    labels = np.clip(truth[:, second] + [slow_noise(rng, minute) for _ in people], 0, 1)
    ways = {
        "no profile": lambda ticks, labels: None,
        "60 s neutral": lambda ticks, labels: calibrate(bundle, "p", ticks[:minute]),
        "60 s labelled": lambda ticks, labels: calibrate(bundle, "p", ticks[second], labels),
        "60 s not neutral": lambda ticks, labels: calibrate(bundle, "p", ticks[second]),
    }
    print(f"{args.count} people, strength {args.strength:g}, {bundle.metadata.name}: RMSE over two minutes")
    print(f"{'':18s}{'median':>8s}{'quartiles':>16s}{'change':>9s}{'all ticks':>11s}{'change':>9s}"
          f"{'better':>8s}{'90 % holds':>12s}")  # fmt: skip
    before = None
    for name, made in ways.items():
        profiles = [made(ticks, own) for ticks, own in zip(people, labels, strict=True)]
        tails = [ticks[2 * minute - WARM * RATE :] for ticks in people]
        mean, low, high = estimates(bundle, profiles, tails)[:, :, WARM * RATE :]
        true = truth[:, scored]
        rmse = np.sqrt(np.mean((mean - true) ** 2, 1))
        row = [np.quantile(rmse, q) for q in (0.5, 0.25, 0.75)] + [np.sqrt(np.mean(rmse**2))]
        before = (row, rmse) if before is None else before
        median, all_ticks = (f"{100 * (row[k] / before[0][k] - 1):+.0f} %" for k in (0, 3))
        better = f"{np.mean(rmse < before[1]):.0%}"
        print(
            f"{name:18s}{row[0]:8.3f}{f'{row[1]:.3f}–{row[2]:.3f}':>16s}{median:>9s}{row[3]:11.3f}"
            f"{all_ticks:>9s}{better:>8s}{np.mean((true >= low) & (true <= high)):12.0%}",
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


def estimates(bundle, profiles, people) -> np.ndarray:
    """Mean and interval of each person at each tick, `[3, P, T]`."""
    from enrapt.realtime.engine.engine import Engine
    from enrapt.realtime.engine.profile import Personal

    own = [None if p is None else Personal(p, bundle.metadata) for p in profiles]
    engine = Engine(bundle, streams=len(own))
    out = np.empty((3, len(own), len(people[0])))
    for t in range(out.shape[2]):
        ticks = [
            {k: v if v is None or p is None else p.value(k, v) for k, v in person[t].items()}
            for p, person in zip(own, people, strict=True)
        ]
        for k, (p, step) in enumerate(zip(own, engine.step_streams(ticks), strict=True)):
            mean, _, low, high = step[:4] if p is None else p.estimate(step.low, step.high)
            out[:, k, t] = mean, low, high
    return out


if __name__ == "__main__":
    main()
