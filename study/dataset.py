"""The sessions of a study as files to train on: an `.npz` a session, in `train/`, `validation/` and `test/`.

Each has an array `[T, D]` of every modality, a row a tick, NaN where it is missing, and of the dimension
`[T, 1]`, from 0 (its low) to 1 (its high), NaN where nobody rated: the consensus of the raters without their
lags. `DIMENSION_spread` is the standard error of that mean, NaN where fewer than two rated. The value of an
interval stands at its last tick only: what is rated is the turn as a whole, which is known at its end. The
value of a session stands at the end of every `STRETCH`, so that every excerpt has some. The squared error of
predictions p of one value y, averaged over these ticks, is (mean of p − y)² + variance of p: that of the
session's mean prediction, and what the prediction varies within the session, which the rating does not.

`sessions.json` says which session and person a file is of, `raters.json` how far the raters agree on the
people of each part. The same study gives the same bytes.
"""

import json
import math
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..contracts.schemas import DEFAULT_MAX_AGE, Schema
from ..realtime.sources.offer import Offer
from ..realtime.sources.session import SessionSource
from ..realtime.sources.source import Wanted
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams.samples import SECOND
from .check import Checked, check_sessions
from .check import usable as usable_of
from .consensus import weighted
from .ratings import Intervals
from .split import PARTS, Part, divided, split_people
from .study import Dimension, Study, recorded_together
from .summary import Agreement, agreement_of, coefficients

Array = NDArray[np.float64]

INDEX: Final = "sessions.json"
RATERS: Final = "raters.json"
SPREAD: Final = "_spread"
STRETCH: Final = 10.0  # s; each has the rating of its session
MAX_TICKS: Final = 2**23  # of a session; 93 hours at 25 ticks/s


@dataclass(slots=True)
class Dataset:
    """What was written.

    Attributes:
        modalities: the feature schema of each; without a name for a plain vector.
        people: by part, sorted.
        seconds: recorded, by part.
        labels: labelled ticks, by part.
        lengths: s; of all sessions.
        raters: names.
        left_out: what is not in it and why, and who should not be where, a line each.
    """

    dimension: Dimension
    rate: int
    modalities: dict[str, Schema]
    people: dict[Part, list[str]]
    raters: tuple[str, ...]
    seconds: dict[Part, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    labels: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    lengths: list[float] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write_dataset(
    study: Study,
    name: str,
    folder: Path,
    *,
    rate: int = 25,
    seed: int = 0,
    test_people: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Dataset:
    """Write the dataset of the dimension of that name into a new folder of mode 700.

    Args:
        progress: called with what is done, and how many sessions of how many.

    Raises:
        UserError: nobody rated it; too few people; sessions of different schemas; it cannot be written.
    """
    usable, left_out = usable_of(check_sessions(study, partial(progress, "checking")))
    left_out += [
        f"{one.session.name}: has no labels of {name}, helps to learn the features only"
        for one in usable
        if not any(label.dimension == name for label in one.labels)
    ]
    modalities = _schemas(usable)
    if name in modalities:
        raise UserError(f"{name} is both a modality of the sessions and a dimension; rename the dimension")
    found = agreement_of(study, usable, name)
    rated = {one.session.person for one in found.sessions}
    others = {one.session.person for one in usable} - rated
    together = recorded_together(study.sessions)
    parts = split_people(rated, others, seed, test_people, together)
    left_out += divided(parts, together)
    people: dict[Part, list[str]] = {part: sorted(p for p in parts if parts[p] == part) for part in PARTS}
    dataset = Dataset(found.dimension, rate, modalities, people, found.consensus.raters, left_out=left_out)
    index: dict[str, dict[str, dict[str, str]]] = {part: {} for part in PARTS}
    known: set[float] = set()  # values of labels to learn from; two are enough to know
    try:
        folder.mkdir(parents=True)
        make_private(folder)
        for part in PARTS:
            (folder / part).mkdir()
            make_private(folder / part)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
    for number, one in enumerate(usable):
        progress("reading", number, len(usable))
        part = parts[one.session.person]
        values, times = observed(one.session.folder, modalities, rate)
        if not len(times):
            dataset.left_out.append(f"{one.session.name}: has no tick")
            continue
        target, spread = labelled(found, one, times)
        values[name] = target[:, None].astype(np.float32)
        if (spread > 0).any():
            values[f"{name}{SPREAD}"] = spread[:, None].astype(np.float32)
        file = f"{number + 1:04d}.npz"
        _save(folder / part / file, values)
        index[part][file] = {"session": one.session.name, "person": one.session.person}
        dataset.seconds[part] += len(times) / rate
        dataset.lengths.append(len(times) / rate)
        dataset.labels[part] += int((~np.isnan(target)).sum())
        if part == "train" and len(known) < 2:
            known.update(np.unique(target[~np.isnan(target)]).tolist()[:2])
    if empty := next((part for part in PARTS if not dataset.labels[part]), None):
        raise UserError(
            f"{study.folder}: no label of {name} falls into the recordings of {', '.join(people[empty])}, "
            f"the people of the {empty} part"
        )
    if len(known) == 1:
        dataset.left_out.append(f"all labels of {name} to learn from are the same: nothing can be learned")
    _write_json(folder / INDEX, index)
    _write_json(folder / RATERS, _raters(found, parts))
    return dataset


def observed(
    folder: Path, modalities: dict[str, Schema], rate: int
) -> tuple[dict[str, NDArray[np.float32]], Array]:
    """The modalities' values at each tick, `[T, D]`, NaN where missing, and the ticks' times, s, `[T]`.

    As recorded, if the session was recorded at that rate; otherwise its samples aligned as a run does.
    """
    recorded = SessionReader(folder)
    here = {name: schema for name, schema in modalities.items() if name in recorded.schemas}
    source = SessionSource(folder, recorded.description.get("rate") != rate, max_gap=math.inf)
    wanted = [
        Wanted(
            name,
            Offer(name, schema.name or None, schema.dim),
            schema.name or None,
            schema.dim,
            round((schema.max_age or DEFAULT_MAX_AGE / rate) * SECOND),
        )
        for name, schema in here.items()
    ]
    source.open(wanted, rate)
    ticks: list[int] = []
    times: list[int] = []
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in here}
    nothing = {name: np.full(schema.dim, np.nan, np.float32) for name, schema in here.items()}
    for observation in source:
        ticks.append(observation.tick)
        times.append(observation.time)
        for name, given in rows.items():
            value = observation.values.get(name)
            given.append(nothing[name] if value is None else value)
    if not ticks:
        return {}, np.zeros(0)
    place = np.array(ticks, np.int64) - ticks[0]  # a tick that was not recorded is missing
    length = int(place[-1]) + 1
    if not (np.diff(place) > 0).all() or length > MAX_TICKS:
        raise UserError(f"{folder}: its ticks are not in order, or more than {MAX_TICKS}")
    values = {}
    for name, given in rows.items():
        values[name] = np.full((length, here[name].dim), np.nan, np.float32)
        values[name][place] = given
    return values, times[0] / SECOND + np.arange(length) / rate


def labelled(found: Agreement, one: Checked, times: Array) -> tuple[Array, Array]:
    """The consensus at each tick, 0 to 1, and its standard error; NaN where there is none.

    Args:
        times: s, of the ticks.
    """
    dimension, consensus = found.dimension, found.consensus
    late = np.nan_to_num(consensus.lags)
    own = [label for label in one.labels if label.dimension == dimension.name]
    rows = np.full((len(consensus.raters), len(times)), np.nan)
    for label in own:
        rater = consensus.raters.index(label.rater)
        rows[rater] = label.at(times + late[rater])
    values, spread = weighted(rows, consensus.weights)
    rated = np.where(~np.isnan(rows), consensus.weights[:, None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        several = rated.sum(0) ** 2 / (rated**2).sum(0)  # effective number of raters (Kish 1965)
        error = spread / np.sqrt(several - 1)
    if dimension.kind == "interval":
        ends = np.concatenate([label.end for label in own if isinstance(label, Intervals)] or [np.zeros(0)])
        last = np.searchsorted(times, ends, "left") - 1
        keep = np.zeros(len(times), bool)
        keep[last[last >= 0]] = True
        values, error = np.where(keep, values, np.nan), np.where(keep, error, np.nan)
    elif dimension.kind == "session":
        keep = np.zeros(len(times), bool)
        keep[np.searchsorted(times, np.arange(times[0] + STRETCH, times[-1], STRETCH))] = True
        keep[-1] = True
        values, error = np.where(keep, values, np.nan), np.where(keep, error, np.nan)
    size = dimension.high - dimension.low
    return np.clip((values - dimension.low) / size, 0, 1), error / size


def _raters(found: Agreement, parts: dict[str, Part]) -> dict[str, Any]:
    """The raters, and how far they agree without their lags on the people of each part; None: not known."""
    consensus = found.consensus
    by_part = {}
    for part in PARTS:
        own = [
            ratings
            for one, ratings in zip(found.sessions, consensus.ratings, strict=True)
            if parts[one.session.person] == part
        ]
        of_part = coefficients(own, bool(found.dimension.levels))
        by_part[part] = {
            "with_the_others": [_number(x) for x in of_part.rest],
            "pairs": _number(of_part.pairs),
            "icc_single": _number(of_part.single),
            "icc_average": _number(of_part.average),
            "alpha": _number(of_part.alpha),
        }
    return {
        "raters": [one_line(name) for name in consensus.raters],
        "lags": [_number(lag) for lag in consensus.lags],
        "weights": [_number(weight) for weight in consensus.weights],
        "parts": by_part,
    }


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _write_json(path: Path, content: object) -> None:
    with atomic_file(path) as stream:
        make_private(Path(stream.name))
        stream.write(f"{json.dumps(content, indent=1)}\n".encode())


def _schemas(usable: Sequence[Checked]) -> dict[str, Schema]:
    """The schema of each modality.

    Raises:
        UserError: it is not the same in all sessions that have the modality.
    """
    found: dict[str, Schema] = {}
    by_schema: defaultdict[str, defaultdict[tuple[str, int], list[str]]]
    by_schema = defaultdict(lambda: defaultdict(list))
    for one in usable:
        for modality, schema in SessionReader(one.session.folder).schemas.items():
            found.setdefault(modality, schema)
            by_schema[modality][schema.name, schema.dim].append(one.session.name)
    for modality, schemas in by_schema.items():
        if len(schemas) > 1:
            (usual, _), *_, ((name, dim), sessions) = sorted(schemas.items(), key=lambda each: -len(each[1]))
            shown = [f"{what or 'a plain vector'} of {size}" for what, size in ((name, dim), usual)]
            raise UserError(
                f"{modality} is {shown[0]} numbers in {one_line(', '.join(sessions[:5]))}, and {shown[1]} in "
                "others; one model takes one schema: move those sessions to another study"
            )
    return found


def _save(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    with atomic_file(path) as stream:
        make_private(Path(stream.name))  # before there is anything in it
        with zipfile.ZipFile(stream, "w") as archive:
            for name, array in arrays.items():  # unlike `numpy.savez`, of any name
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
