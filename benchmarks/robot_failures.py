"""Detecting a robot's failure from gaze and voice of the person it talks with: our model and GRUs.

    python benchmarks/robot_failures.py FRAMES.csv.gz [--test OTHER.csv.gz] [--people test|validation]
        [--begin start|anywhere] [--seeds 2]

FRAMES and OTHER are tables of BAD Robots IRL (`badrobots`). Every estimate is causal; a silent person's voice
is missing. Without `--test`, six folds of people; with it, models are trained on FRAMES and scored on OTHER.

Ours is one MM-VRNN for all patterns of missing modalities with a Bernoulli target; the label is never an
input, not even in training. The GRU classifier has the same inputs, masks, hidden size, modality dropout,
noise and dropout, and is also one model for all patterns. "GRU of one" is one model per pattern.

Settings were chosen, in some 30 trials each for ours and the GRU, with `--people validation`: three times a
fold is left out and the next one scored, after training on the rest. No model was trained on its test people,
but half of all people were used in the search: OTHER is the cleaner test.

All conversations follow one schedule: the first failure is 10 s after the start, and about 9 s follow the
third. Time alone nearly determines the label, and a recurrent model can count. Three results show how much of
a score that explains: the rows of clocks; "same frame", the AUC among people at the same time since the
start, where a clock has 0.5; and `--begin anywhere`, in which conversations start at a random frame, in
training too.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from datasets.badrobots import DIMS, RATE, Person, load_badrobots
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from enrapt.models import MMVRNN, Batch, Dropout, Modality
from enrapt.models.metrics import auc
from enrapt.models.missing import modality_dropout

FOLDS: Final = 6
BOTH: Final = tuple(DIMS)
PATTERNS: Final = {"both": BOTH, "gaze only": ("gaze",), "voice only": ("voice",)}
TARGET: Final = "failure"
HIDDEN, LATENT = 32, 8
TICK = 15  # frames; a model steps at 2 Hz, an estimate is held until the next tick
COPIES = 2  # of each person in a batch, with different dropout
HIDE = Dropout(absent=0.3, bursts=0.2, frames=0.0)  # modality dropout
BEGINS: Final = {  # first frames of conversations: in training, and when scored
    "start": (range(0, TICK, 3), range(1)),
    "anywhere": (range(0, 600, 37), range(0, 600, 100)),
}


def tail(person: Person, first: int) -> Person:
    """A conversation without the frames before `first`."""
    x, available = ({m: v[first:] for m, v in part.items()} for part in (person.x, person.available))
    return Person(person.name, x, available, person.label[first:])


class Settings(NamedTuple):
    """Settings chosen on validation people.

    Attributes:
        noise: standard deviation of noise on the inputs in training, in the input's standard deviations.
        offset: the same for an offset per conversation, as people and cameras differ.
        dropout: of hidden features in training.
        label: λ of the target, ours only; gaze and voice have λ 1.
    """

    steps: int
    learning_rate: float
    noise: float
    offset: float
    dropout: float
    label: float = 1.0


OURS: Final = Settings(steps=150, learning_rate=1e-2, noise=1.0, offset=1.0, dropout=0.3, label=100.0)
GRU: Final = {  # by where conversations begin; ours is best with the same for both
    "start": Settings(steps=100, learning_rate=2e-2, noise=1.0, offset=2.0, dropout=0.3),
    "anywhere": Settings(steps=300, learning_rate=2e-2, noise=1.0, offset=1.0, dropout=0.3),
}


def ticks(people: Sequence[Person], first: int = 0) -> Batch:
    """People in parallel at frames first, first + TICK, …; shorter conversations end in missing ticks.

    A tick has the mean over the present values of the TICK frames up to its own.
    """
    lengths = [len(range(first, len(p.label), TICK)) for p in people]
    shape = (len(people), max(lengths))
    x = {m: np.zeros((*shape, d), np.float32) for m, d in {**DIMS, TARGET: 1}.items()}
    available = {m: np.zeros(shape, bool) for m in x}
    for i, (person, length) in enumerate(zip(people, lengths, strict=True)):
        for tick in range(length):
            end = first + tick * TICK + 1
            recent = slice(max(end - TICK, 0), end)
            for m in DIMS:
                seen = person.x[m][recent][person.available[m][recent]]
                if len(seen):
                    x[m][i, tick], available[m][i, tick] = seen.mean(0), True
            x[TARGET][i, tick], available[TARGET][i, tick] = person.label[end - 1], True
    return Batch(
        {m: torch.from_numpy(v) for m, v in x.items()},
        {m: torch.from_numpy(v) for m, v in available.items()},
    )


def mm_vrnn(settings: Settings, people: Batch) -> MMVRNN:
    """An untrained model, normalised on these people."""
    modalities = [
        Modality(
            m, dim, encoder=nn.Sequential(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Dropout(settings.dropout))
        )
        for m, dim in DIMS.items()
    ]
    target = Modality(TARGET, 1, "target", "bernoulli", weight=settings.label)
    model = MMVRNN([*modalities, target], hidden=HIDDEN, latent=LATENT, reweight=True)
    for m in DIMS:
        values = people.x[m][people.available[m]]
        model.normalise(m, values.mean(0), values.std(0).clamp(min=1e-3))
    model.target_decoder(target).of_h.insert(0, nn.Dropout(settings.dropout))
    return model


class GRUClassifier(nn.Module):
    """Normalised inputs, zeros where missing, and the mask → a hidden layer → GRU → logit of the label."""

    def __init__(self, settings: Settings, normalised: MMVRNN, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder_input, self.inputs = normalised.encoder_input, inputs
        dropout = nn.Dropout(settings.dropout)
        self.phi = nn.Sequential(nn.Linear(sum(DIMS[m] + 1 for m in inputs), HIDDEN), nn.ReLU(), dropout)
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Sequential(dropout, nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, x: dict[str, Tensor], mask: dict[str, Tensor]) -> Tensor:
        parts = []
        for m in self.inputs:
            seen = mask.get(m, torch.zeros(x[m].shape[:2], dtype=torch.bool))
            parts += [self.encoder_input(m, x[m], seen), seen.unsqueeze(-1).float()]
        logit: Tensor = self.head(self.gru(self.phi(torch.cat(parts, -1)))[0])
        return logit


def train(
    settings: Settings,
    kind: type,
    people: Sequence[Person],
    firsts: Sequence[int],
    seed: int,
    only: tuple[str, ...] | None = None,
) -> nn.Module:
    """One model for all patterns, or for that of `only` these modalities; batches begin at `firsts`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    batches = [ticks(list(people) * COPIES, first) for first in firsts]
    ours = mm_vrnn(settings, batches[0])
    model = ours if kind is MMVRNN else GRUClassifier(settings, ours, only or BOTH)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        batch = batches[rng.integers(len(batches))]
        label, labelled = batch.x[TARGET], batch.available[TARGET]
        x, fed = dict(batch.x), {TARGET: torch.zeros_like(labelled)}
        for m in DIMS:
            _, spread = ours.moments(m)
            noise = settings.noise * torch.randn_like(x[m]) + settings.offset * torch.randn_like(x[m][:, :1])
            x[m] = x[m] + spread * noise
            fed[m] = batch.available[m]
            if only is None:
                fed[m] = fed[m] & ~torch.from_numpy(
                    modality_dropout(rng, *labelled.shape, RATE // TICK, HIDE)
                )
        if kind is MMVRNN:
            # z at its mean, as in prediction: sampling at every tick would disturb the count in h.
            noise = {"z": torch.zeros(*labelled.shape, LATENT)}
            loss = ours.negative_elbo(x, batch.available, fed, (), noise).total / settings.label
        else:
            loss = binary_cross_entropy_with_logits(model(x, fed)[labelled], label[labelled])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def probabilities(model: nn.Module, people: Sequence[Person], inputs: tuple[str, ...]) -> list[np.ndarray]:
    """p(label = 1) at every frame of each person given some modalities up to it, `[T]` each."""
    batch = ticks(people)
    if isinstance(model, MMVRNN):
        p = model.filter(batch.given(inputs)).prediction[TARGET].mean
    else:
        p = torch.sigmoid(model(batch.x, {m: batch.available[m] for m in inputs}))
    return [
        of_one.numpy()[np.arange(len(person.label)) // TICK, 0]
        for of_one, person in zip(p, people, strict=True)
    ]


def clocks(people: Sequence[Person], others: Sequence[Person]) -> dict[str, list[np.ndarray]]:
    """Scores of others from time alone: the frame number, and the share of label 1 at that frame."""
    longest = max(len(p.label) for p in (*people, *others))
    failing, there = np.zeros(longest), np.zeros(longest)
    for p in people:
        failing[: len(p.label)] += p.label
        there[: len(p.label)] += 1
    share = (failing + 0.5) / (there + 1)
    return {
        "frame number": [np.arange(len(p.label), dtype=np.float64) for p in others],
        "share at that frame": [share[: len(p.label)] for p in others],
    }


def same_frame(truth: Sequence[np.ndarray], score: Sequence[np.ndarray]) -> tuple[float, int]:
    """Of pairs with different labels at a frame: how many score label 1 higher, ties half; their number."""
    won, pairs = 0.0, 0
    for t in range(max(map(len, truth))):
        y, s = np.array([(y[t], s[t]) for y, s in zip(truth, score, strict=True) if t < len(y)]).T
        n = int((y == 1).sum() * (y == 0).sum())
        if n:
            won, pairs = won + n * auc(y, s), pairs + n
    return won, pairs


def measures(folds: Sequence[Sequence[Person]], scores: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """AUC pooled; per person, the mean over those with both labels; at the same frame, within folds, as folds
    have different clocks. Then −log p(label), nats per frame."""
    truth = [[p.label for p in fold] for fold in folds]
    labels, estimates = ([v for fold in part for v in fold] for part in (truth, scores))
    y, p = np.concatenate(labels), np.concatenate(estimates).astype(np.float64)
    by_person = np.nanmean([auc(*pair) for pair in zip(labels, estimates, strict=True)])
    won, pairs = np.sum([same_frame(*fold) for fold in zip(truth, scores, strict=True)], 0)
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    nats = -np.mean(y * np.log(clipped) + (1 - y) * np.log1p(-clipped))
    return np.array([auc(y, p), by_person, won / pairs if pairs else np.nan, nats])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("--test", type=Path, help="train on all of FRAMES and score these people")
    parser.add_argument("--people", choices=("validation", "test"), default="test", help="of the folds")
    parser.add_argument("--begin", choices=tuple(BEGINS), default="start")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    people = load_badrobots(arguments.frames)
    if arguments.test:
        splits = [(people, load_badrobots(arguments.test))]
    else:
        validating = arguments.people == "validation"
        splits = [
            (
                [p for i, p in enumerate(people) if i % FOLDS not in (k, k + validating)],
                people[k + validating :: FOLDS],
            )
            for k in range(0, FOLDS, 1 + validating)
        ]
    firsts, scored_from = BEGINS[arguments.begin]
    theirs = GRU[arguments.begin]
    splits = [(some, [tail(p, first) for p in others for first in scored_from]) for some, others in splits]
    scored = [others for _, others in splits]
    print(f"{sum(map(len, scored))} conversations, {sum(len(p.label) for o in scored for p in o)} frames")

    began = time.perf_counter()
    found: dict[tuple[str, str], list[np.ndarray]] = {}  # by pattern and model, one entry per seed
    for seed in range(arguments.seeds):
        scores: dict[tuple[str, str], list[list[np.ndarray]]] = {}
        for k, (some, others) in enumerate(splits):
            ours = train(OURS, MMVRNN, some, firsts, seed)
            gru = train(theirs, GRUClassifier, some, firsts, seed)
            for pattern, inputs in PATTERNS.items():
                one = train(theirs, GRUClassifier, some, firsts, seed, only=inputs)
                models = {"ours": ours, "GRU": gru, "GRU of one": one}
                for name, model in models.items():
                    scores.setdefault((pattern, name), []).append(probabilities(model, others, inputs))
            print(f"seed {seed}, fold {k + 1}/{len(splits)}, {time.perf_counter() - began:.0f} s", flush=True)
        for key, score in scores.items():
            found.setdefault(key, []).append(measures(scored, score))

    print(f"\nmean ± standard deviation of {arguments.seeds} seeds")
    print(f"{'':32s}{'AUC pooled':>16s}{'per person':>16s}{'same frame':>16s}{'nats per frame':>16s}")
    for (pattern, name), runs in found.items():
        figures = zip(np.mean(runs, 0), np.std(runs, 0), strict=True)
        print(f"{pattern:12s}{name:20s}" + "".join(f"{m:8.3f} ± {d:.3f}" for m, d in figures))
    by_clock: dict[str, list[list[np.ndarray]]] = {}
    for some, others in splits:
        for name, score in clocks([tail(p, first) for p in some for first in firsts], others).items():
            by_clock.setdefault(name, []).append(score)
    for name, score in by_clock.items():
        print(f"{'clock':12s}{name:20s}" + "".join(f"{m:8.3f}        " for m in measures(scored, score)[:3]))


if __name__ == "__main__":
    main()
