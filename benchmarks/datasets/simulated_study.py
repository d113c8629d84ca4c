"""A study of simulated people: conversations as session folders, of which raters have seen a part."""

from pathlib import Path

import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.models.datasets.conversation import Sessions, simulate
from enrapt.study.importing import write_session
from enrapt.study.labels import path_of, write
from enrapt.study.ratings import Trace
from enrapt.study.readers.contents import Samples
from enrapt.study.simulated_raters import rated
from enrapt.study.study import new_study

RATE = 25
LAGS = (1.0, 2.0, 3.0)  # s; of the raters


def simulated_study(
    folder: Path,
    people: int = 20,
    seconds: float = 300.0,
    *,
    share: float = 0.3,
    lags: tuple[float, ...] = LAGS,
    noise: float = 0.2,
    clean: bool = False,
    seed: int = 0,
) -> Sessions:
    """A session of each person; gives what was simulated, in the order of the sessions.

    Args:
        share: of each session that is rated, in one piece.
        noise: of the raters, see `study.simulated_raters`.
        clean: a single rater instead, without lag or noise.
    """
    rng = np.random.default_rng(seed)
    truth = simulate(rng, people, round(seconds * RATE), RATE)
    new_study(folder)
    times = np.arange(truth.values["face"].shape[1]) / RATE
    for k in range(people):
        session = folder / "sessions" / f"p{k:02d}" / "1"
        modalities = {}
        for schema in (FACE, AUDIO):
            name = schema.name.partition("/")[0]
            values = np.where(truth.available[name][k, :, None], truth.values[name][k], np.nan)
            modalities[name] = Samples(name, times, values, schema.features, schema.name)
        write_session(session, modalities, "simulated")
        engagement = truth.values["engagement"][k, :, 0].astype(float)
        first = rng.uniform(0, (1 - share) * seconds)
        seen = (times >= first) & (times <= first + share * seconds)
        rows = (
            [engagement] if clean else [rated(rng, engagement, lag, rate=RATE, noise=noise) for lag in lags]
        )
        for rater, row in zip("abcdefgh", rows, strict=False):
            kept = np.clip(np.where(seen, row, np.nan), 0, 1)[seen]
            write(Trace(rater, "engagement", times[seen], kept), path_of(session, "engagement", rater))
    return truth
