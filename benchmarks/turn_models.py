"""Models of CONVERSE's ratings: ours and what it is compared with.

Ten minutes have some twenty ratings, so a pass over whole conversations teaches little for its time. A
gradient step takes excerpts of 5 s that end with a rated turn, each from the states that the model has
there; these are computed over whole conversations now and then, by the weights of that time. Prediction is
that of a live run, from the first tick to the last.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from datasets.converse import Conversation, activity, last_tick
from scipy.special import logit
from torch import Tensor, nn

from enrapt.models import MDVAE, Batch, ForwardFilter, Modality
from enrapt.models.baselines import GRURegressor
from enrapt.models.latents import Inferred
from enrapt.models.model import State
from enrapt.models.recurrence import loop
from enrapt.models.target import HALF_WIDTH, Prediction
from enrapt.models.turn_vrnn import OF_OWN, TurnVRNN

RATE: Final = 2  # ticks/s
TARGET: Final = "engagement"
PATTERNS: Final = {"both": ("own", "partner"), "own only": ("own",)}
SECONDS: Final = (2, 8, 30, 120)  # time constants of exponential means
EXCERPT = 10  # ticks
EPOCHS, REFRESH = 10, 5  # passes over all rated turns; between two computations of the states
TURNS_IN_STEP = 256
LEARNING_RATE, WEIGHT_DECAY, CLIP = 5e-3, 0.1, 200.0
PARTNER_ABSENT = 0.35  # share of excerpts
HIDDEN, LATENT, DROPOUT, LABEL = 64, 8, 0.5, 100.0
LABEL_OF_MDVAE = 400.0  # on folds of another seed r was 0.35, 0.38 and 0.37 with 100, 400 and 1,000

# Of our voice activity with noise 10 dB below speech, as `voice_activity.py` prints it.
HANGOVER, MISSED, FALSE = 0.17, 0.064, 53 / 60 * 0.09  # s; share of speech; share of silence


class Located(NamedTuple):
    """The normal distribution of the label's logit at each rated turn's end, `[N]`."""

    location: np.ndarray
    scale: np.ndarray


def located(found: Prediction) -> Located:
    """Of predictions `[N, 1]`."""
    low, high = (logit(v[:, 0].double().numpy()) for v in (found.low, found.high))
    return Located((low + high) / 2, (high - low) / (2 * HALF_WIDTH))


def batch_of(people: Sequence[Conversation]) -> Batch:
    """Conversations as a batch, a rating at each rated turn's last tick."""
    ticks = max(int(one.seconds * RATE) + 1 for one in people)
    x = {name: torch.full((len(people), ticks, 1), torch.nan) for name in ("own", "partner", TARGET)}
    spread = torch.zeros(len(people), ticks, 1)
    for i, one in enumerate(people):
        length = int(one.seconds * RATE) + 1
        for name, spans in (("own", one.own), ("partner", one.partner)):
            x[name][i, :length, 0] = torch.from_numpy(activity(spans, length, RATE))
        for turn in one.turns:
            x[TARGET][i, last_tick(turn, RATE)] = turn.engagement
            spread[i, last_tick(turn, RATE)] = turn.spread
    return Batch(x, {name: ~v.isnan().any(-1) for name, v in x.items()}, {TARGET: spread})


def spoilt(batch: Batch, seed: int, least: float = 1.0) -> Batch:
    """The same with the errors of voice activity: speech that goes on after its end, is missed, or is none.

    They are shorter than a tick, so each tick has its own.

    Args:
        least: each conversation has a share of the errors, from this one to all.
    """
    draw = partial(torch.rand, generator=torch.Generator().manual_seed(seed))
    x = dict(batch.x)
    share = least + (1 - least) * draw(batch.size, 1, 1)
    for name in ("own", "partner"):
        value = x[name]
        speaks, before = value > 0.5, torch.cat([torch.zeros_like(value[:, :1]), value[:, :-1]], 1) > 0.5
        longer = ~speaks & before & (draw(value.shape) < share * HANGOVER * RATE)
        missed = speaks & (draw(value.shape) < share * MISSED)
        false = ~speaks & (draw(value.shape) < share * FALSE)
        heard = torch.where(missed, 0.0, torch.where(longer | false, 1.0, value))
        x[name] = torch.where(batch.available[name].unsqueeze(-1), heard, value)
    return batch._replace(x=x)


def turn_vrnn() -> TurnVRNN:
    """An untrained one of ours."""
    modalities = [
        *(Modality(name, 1, likelihood="bernoulli", schema="speaking/1") for name in ("own", "partner")),
        Modality(TARGET, 1, "target", "logit_normal", weight=LABEL),
    ]
    ticks = tuple(float(s * RATE) for s in SECONDS)
    return TurnVRNN(modalities, hidden=HIDDEN, latent=LATENT, reweight=True, ticks=ticks, dropout=DROPOUT)


class Ends(NamedTuple):
    """Rated turns, in the order of a batch: rows and ticks."""

    row: Tensor
    tick: Tensor


def ends(batch: Batch) -> Ends:
    return Ends(*batch.available[TARGET].nonzero(as_tuple=True))


def remembered(model: TurnVRNN, batch: Batch) -> tuple[Tensor, Tensor]:
    """What encoders see, `[N, T, 6 K]`, and the state of the means before each tick, `[N, T, S]`."""
    before: list[Tensor] = []

    def remembering(tick, state, inputs):  # type: ignore[no-untyped-def]
        def noting(state, inputs):  # type: ignore[no-untyped-def]
            before.append(state)
            return tick(state, inputs)

        return loop(noting, state, inputs)

    start = model.initial_state(batch.size)[1]
    seen = model.seen(batch.x, batch.available, start, remembering)[0]["partner"]
    return seen, torch.stack(before, 1)


class Ours:
    """A TurnVRNN in training and prediction."""

    def __init__(self, seed: int, batch: Batch) -> None:
        torch.manual_seed(seed)
        self.model = turn_vrnn()
        self.model.fit_normalisation(batch)

    def seen(self, batch: Batch) -> Batch:
        """What it is trained on: speech as it is."""
        return batch

    def recurred(self, batch: Batch, seen: Tensor) -> Inferred:
        """The latents at each tick of `PATTERNS` one after the other, `[2 N, T, Z]`."""
        views = {"own": seen[..., : OF_OWN * len(SECONDS)], "partner": seen}
        x = {name: value.repeat(len(PATTERNS), 1, 1) for name, value in views.items()}
        mask = {
            name: torch.cat([batch.available[name] & (name in names) for names in PATTERNS.values()])
            for name in views
        }
        evidence = self.model.evidence(x, mask)
        start, _ = self.model.initial_state(len(mask["own"]))
        return self.model.recurred(evidence, self.model.given(x), start, None, loop)

    @torch.no_grad()
    def states(self, batch: Batch) -> dict[str, State]:
        """Before each tick, by pattern: h `[N, T, H]` and the exponential means."""
        self.model.eval()
        seen, means = remembered(self.model, batch)
        h = self.recurred(batch, seen).context["h"]
        return {pattern: (part, means) for pattern, part in zip(PATTERNS, h.split(batch.size), strict=True)}

    def loss(self, batch: Batch, fed: dict[str, Tensor], state: State, generator: torch.Generator) -> Tensor:
        return self.model.loss(batch, fed, state, 1.0, generator).total

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Located]:
        """As `filter`, of the rated ticks only, by pattern."""
        inferred = self.recurred(batch, remembered(self.model, batch)[0])
        known = batch.available[TARGET].repeat(len(PATTERNS), 1)
        z, h = inferred.latents["z"], inferred.context["h"]
        target = self.model.by_name[TARGET]
        found = located(self.model.predict(target, z.mean[known], 1 / z.precision[known], h[known]))
        parts = zip(*(np.split(v, len(PATTERNS)) for v in found), strict=True)
        return {pattern: Located(*part) for pattern, part in zip(PATTERNS, parts, strict=True)}


class OnMeans:
    """What the models beside ours are trained on: the exponential means that ours sees, as inputs."""

    def __init__(self, batch: Batch) -> None:
        self.means = turn_vrnn()
        self.means.fit_normalisation(batch)

    def modalities(self, label: float = LABEL) -> tuple[Modality, ...]:
        """Own and partner's means, and the target with this weight."""
        numbers = {"own": OF_OWN * len(SECONDS), "partner": 6 * len(SECONDS)}
        inputs = (Modality(name, dim, likelihood="normal") for name, dim in numbers.items())
        return (*inputs, Modality(TARGET, 1, "target", "logit_normal", weight=label))

    @torch.no_grad()
    def seen(self, batch: Batch) -> Batch:
        start = self.means.initial_state(batch.size)[1]
        seen, _ = self.means.seen(batch.x, batch.available, start, loop)
        return batch._replace(x=batch.x | seen)


class Gru(OnMeans):
    """A GRU of the same hidden size on the same exponential means."""

    def __init__(self, seed: int, batch: Batch) -> None:
        torch.manual_seed(seed)
        super().__init__(batch)
        self.model = GRURegressor(self.modalities(), HIDDEN)
        self.model.phi.append(nn.Dropout(DROPOUT))
        self.model.head[TARGET].insert(0, nn.Dropout(DROPOUT))

    @torch.no_grad()
    def states(self, batch: Batch) -> dict[str, State]:
        self.model.eval()
        found = {}
        for pattern, names in PATTERNS.items():
            h = self.model(batch.x, batch.given(names).available)[0]
            found[pattern] = (torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1),)
        return found

    def loss(self, batch: Batch, fed: dict[str, Tensor], state: State, generator: torch.Generator) -> Tensor:
        h = state[0].unsqueeze(0).contiguous()
        return self.model.loss(batch, fed, (h,), 1.0, generator).total

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Located]:
        return filtered(self.model.eval(), self.seen(batch))


class Smoother(OnMeans):
    """An MDVAE of excerpts, which looks ahead in them."""

    def __init__(self, seed: int, batch: Batch) -> None:
        torch.manual_seed(seed)
        super().__init__(batch)
        self.model = MDVAE(
            self.modalities(LABEL_OF_MDVAE),
            hidden=HIDDEN,
            static=LATENT,
            shared=LATENT,
            private=LATENT,
            reweight=True,
        )
        with_dropout(self.model.inputs.phi)

    def states(self, batch: Batch) -> dict[str, State]:
        return dict.fromkeys(PATTERNS, ())

    def loss(self, batch: Batch, fed: dict[str, Tensor], state: State, generator: torch.Generator) -> Tensor:
        return self.model.loss(batch, fed, state, 1.0, generator).total


class Filter(OnMeans):
    """The forward filter of an MDVAE, which is trained before it."""

    def __init__(self, seed: int, batch: Batch) -> None:
        super().__init__(batch)
        smoother = train(Smoother, batch, seed)
        torch.manual_seed(seed)
        self.model = ForwardFilter(smoother.model, HIDDEN)
        self.model.belief.insert(0, nn.Dropout(DROPOUT))

    @torch.no_grad()
    def states(self, batch: Batch) -> dict[str, State]:
        self.model.eval()
        found = {}
        for pattern, names in PATTERNS.items():
            some = batch.given(names)
            before, _, _ = self.model.recurred(self.model.encoded(some.x, some.available), ())
            found[pattern] = before[: len(self.model.states)]
        return found

    def loss(self, batch: Batch, fed: dict[str, Tensor], state: State, generator: torch.Generator) -> Tensor:
        return self.model.loss(batch, fed, state, 1.0, generator).total

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Located]:
        return filtered(self.model.eval(), self.seen(batch))


def with_dropout(encoders: nn.ModuleDict) -> None:
    for name, encoder in encoders.items():
        encoders[name] = nn.Sequential(encoder, nn.Dropout(DROPOUT))


def filtered(model: GRURegressor | ForwardFilter, seen: Batch) -> dict[str, Located]:
    """The rated ticks of whole conversations, by pattern."""
    known, found = seen.available[TARGET], {}
    for pattern, names in PATTERNS.items():
        prediction = model.filter(seen.given(names)).prediction[TARGET]
        found[pattern] = located(Prediction(*(v[known] for v in prediction)))
    return found


Learner = TypeVar("Learner", Ours, Gru, Smoother, Filter)


def train(kind: type[Learner], batch: Batch, seed: int, epochs: int = EPOCHS) -> Learner:
    """One model for both patterns, trained with more and fewer errors of voice activity."""
    learner = kind(seed, batch)
    data = batch
    turns = ends(batch)
    optimizer = torch.optim.AdamW(learner.model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(turns.row) // TURNS_IN_STEP)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    states: dict[str, State] = {}
    for epoch in range(epochs):
        if epoch % REFRESH == 0:
            data = spoilt(batch, seed + 1000 * epoch, least=0.0)
            data = learner.seen(data)
            states = learner.states(data)
        learner.model.train()
        for chosen in torch.randperm(len(turns.row), generator=generator).split(TURNS_IN_STEP):
            rows = turns.row[chosen]
            first = (turns.tick[chosen] - EXCERPT + 1).clamp(min=0)
            at = first[:, None] + torch.arange(EXCERPT)
            part = data.map(lambda v, rows=rows, at=at: v[rows[:, None], at])  # type: ignore[misc]
            alone = torch.rand(len(rows), generator=generator) < PARTNER_ABSENT
            fed = dict(part.available)
            fed["partner"] = fed["partner"] & ~alone[:, None]
            fed[TARGET] = torch.zeros_like(fed[TARGET])  # never an input
            state = tuple(
                torch.where(alone[:, None], own[rows, first], both[rows, first])
                for both, own in zip(states["both"], states["own only"], strict=True)
            )
            optimizer.zero_grad()
            learner.loss(part, fed, state, generator).backward()
            nn.utils.clip_grad_norm_(learner.model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
    learner.model.eval()
    return learner
