"""How people differ in the training data: moments that a bundle declares, for profiles of single people."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .config import ARRAYS, Config
from .data import MOMENTS, Conversations, Recordings, load_data
from .likelihoods import LOCATION_SCALE

Array = NDArray[np.float64]

PEOPLE: Final = 64  # simulated ones; a spread between them is known to 9 %
LEAST: Final = 50  # ticks of a session; fewer give no spread


class ByPerson(NamedTuple):
    """Of a modality, each `[D]`: mean and standard deviation of people's means, typical standard deviation
    of one person's values."""

    mean: Array
    between: Array
    within: Array


def moments_by_person(config: Config, seed: int) -> dict[str, ByPerson]:
    """Of each observed modality with location and scale that at least two training sessions have; a session
    counts as a person. Nothing where a model was trained from arrays, which are not kept.

    Raises:
        UserError: the training data cannot be read.
    """
    if config.training.data == ARRAYS:
        return {}
    names = [
        m.name for m in config.model.modalities if m.role == "observed" and m.likelihood in LOCATION_SCALE
    ]
    means: dict[str, list[Array]] = {name: [] for name in names}
    spreads: dict[str, list[Array]] = {name: [] for name in names}
    for session in _sessions(config, seed):
        for name in names:
            rows = session[name].reshape(len(session[name]), -1)
            rows = rows[~np.isnan(rows).any(-1)].astype(np.float64)
            if len(rows) >= LEAST:
                means[name].append(rows.mean(0))
                spreads[name].append(rows.var(0))
    return {
        name: ByPerson(
            np.mean(means[name], 0), np.std(means[name], 0, ddof=1), np.sqrt(np.mean(spreads[name], 0))
        )
        for name in names
        if len(means[name]) > 1
    }


def _sessions(config: Config, seed: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Values of each training session by modality, `[T, …]`, NaN where missing."""
    data = load_data(config)
    if isinstance(data, Recordings):
        yield from data.sessions
    elif isinstance(data, Conversations):
        batch = data.people(seed, MOMENTS, PEOPLE)
        for row in range(PEOPLE):
            yield {
                name: np.where(batch.available[name][row, :, None].numpy(), value[row].numpy(), np.nan)
                for name, value in batch.x.items()
            }
