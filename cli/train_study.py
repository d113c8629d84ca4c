"""Training on one's own study: its dataset in the run's folder, and a configuration that suits its size."""

import argparse
import contextlib
import filecmp
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..contracts.console import say
from ..contracts.errors import UserError, one_line
from .study import counted, duration

if TYPE_CHECKING:
    from ..export.first_weights import FirstWeights
    from ..models.config import Config
    from ..study.dataset import Dataset
    from ..study.study import Study

SESSIONS: Final = "sessions"  # in the run's folder
FIRST: Final = "first"  # likewise: the weights of a bundle, from which training starts
# By seconds of labels in training, from that number on: hidden, latent, rounds of 64 excerpts of 50 s.
SIZES: Final = ((10 * 3600.0, 128, 32, 240), (2 * 3600.0, 64, 16, 120), (0.0, 32, 8, 40))
ENOUGH: Final = 2 * 3600.0  # s of labels, from which validation people tell which round is the best
SUMMARISED: Final = (1.0, 5.0)  # s; time constants of what encoders see of the recent past
LAMBDA, LEAST_LAMBDA = 4.0, 40.0  # weight of the target for each number that is observed; at least
FEWER, LOWER = 5, 1e-4  # from a bundle's weights: a fifth of the rounds, and this learning rate
STOPPING: Final = {"every": 2, "patience": 8, "of": "targets"}


def is_study(path: str) -> bool:
    """Whether what is to be trained on is a study."""
    return (Path(path) / "study.toml").is_file()


def study_run(args: argparse.Namespace) -> "Config":
    """Make the dataset of a study in the run's folder, or check that it is there; give the configuration.

    Raises:
        UserError: the study cannot be trained on, or the folder is that of another.
    """
    from ..export.first_weights import first_weights
    from ..realtime.store.private import make_private
    from ..study.dataset import write_dataset
    from ..study.study import read_study

    study, run = read_study(Path(args.config)), args.output
    name = args.dimension or _only_dimension(study)
    made = not run.exists()
    folder, part = run / SESSIONS, run / f"{SESSIONS}.part"
    try:
        run.mkdir(parents=True, exist_ok=True)
        if made:
            make_private(run)
        if part.exists():  # of a run that was killed
            shutil.rmtree(part)
        with _shown() as progress:
            dataset = write_dataset(study, name, part, rate=args.rate, seed=args.seed,
                                    test_people=args.test_people, progress=progress)  # fmt: skip
        first = None if args.first is None else first_weights(args.first, name, args.rate)
        config = study_config(study, dataset, run, args.model, args.overrides, first)
        if not folder.exists():
            part.rename(folder)
        elif not _same(part, folder):
            raise UserError(
                f"{folder}: of the study as it was, or of another dimension, seed or rate or other "
                "--test-people; give another folder"
            )
        if first is not None:
            _keep(first, run / FIRST)
    except OSError as error:
        raise UserError(f"{run}: cannot be written ({error.strerror}); give another folder") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # it has something in it
                run.rmdir()
    _report(dataset)
    return config


def study_config(
    study: "Study",
    dataset: "Dataset",
    run: Path,
    model: str | None,
    overrides: Path | None = None,
    first: "FirstWeights | None" = None,
) -> "Config":
    """A preset, for the modalities, the amount of data and the name of a study.

    Args:
        model: its kind; None for a `recent_vrnn`, or that of `first`.
        overrides: a .toml file with a part of a configuration.
        first: weights from which training starts; the model is of their kind and size.

    Raises:
        UserError: names that a model cannot have; a wrong key or value in `overrides`.
    """
    import msgspec

    from ..models.config import Config, load_config
    from ..models.networks import described

    if first is not None and model not in (None, first.model["model"]):
        raise UserError(f"--model {model}: the weights are of a {first.model['model']}; leave it out")
    if first is not None and not first.fit({n: schema.dim for n, schema in dataset.modalities.items()}):
        raise UserError(
            f"--from: the weights are of {', '.join(first.modalities)}, and the study has "
            f"{', '.join(dataset.modalities)}, so nothing fits; train without"
        )
    preset = "mdvae" if model == "mdvae" else "default"
    content: dict[str, Any] = msgspec.to_builtins(load_config(preset), enc_hook=described)
    (target,) = (m for m in content["model"]["modalities"] if m["role"] == "target")
    observed = [
        {"name": name, "dim": schema.dim, "likelihood": "laplace", "schema": schema.name or None}
        for name, schema in dataset.modalities.items()
    ]
    about, title = study.description, _line(study.description.name) or study.folder.resolve().name
    people = sum(map(len, dataset.people.values()))
    content |= {
        "name": title,
        "description": _line(about.description) or f"{dataset.dimension.name} of the study {title}",
        "rate": dataset.rate,
        "licence": _line(about.licence) or "not stated",
        "trained_on": f"{counted(people, 'person', 'people')} of the study {title}"[:1000],
    }
    if model == "mdvae":
        target["weight"] = LEAST_LAMBDA
        sized = _sized_mdvae(dataset)
    else:
        numbers = sum(schema.dim for schema in dataset.modalities.values())
        target["weight"] = max(LEAST_LAMBDA, LAMBDA * numbers)
        sized = _sized(dataset, model or "recent_vrnn") if first is None else _fine_tuned(dataset, run, first)
    content["training"] = sized["training"]  # the preset's is for new people every round
    content["model"] = {"reweight": True, **sized["model"]}
    content["model"]["modalities"] = [*observed, {**target, "name": dataset.dimension.name}]
    if overrides is not None:
        content = _merged(content, _toml(overrides))
    content["training"]["data"] = str((run / SESSIONS).absolute())
    try:
        return msgspec.convert(content, Config)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{overrides or study.folder}: {one_line(error)}") from None


def _sized(dataset: "Dataset", model: str) -> dict[str, dict[str, Any]]:
    """Sizes and rounds by the amount of data.

    Of few people, validation people are too few to tell which round is the best; with more, training ends
    where they are no longer predicted better.
    """
    labelled = _labelled(dataset)
    hidden, latent, rounds = next(sizes for least, *sizes in SIZES if labelled >= least)
    sizes = {"model": model, "hidden": hidden, "latent": latent}
    if model == "recent_vrnn":
        sizes["ticks"] = [seconds * dataset.rate for seconds in SUMMARISED]
    training = _training(dataset, rounds)
    if labelled >= ENOUGH:
        training["early_stopping"] = STOPPING
    return {"training": training, "model": sizes}


def _sized_mdvae(dataset: "Dataset") -> dict[str, dict[str, Any]]:
    rounds = next(rounds for least, _, _, rounds in SIZES if _labelled(dataset) >= least)
    training = _training(dataset, rounds) | {"segment_ticks": 250, "jitter": 1.0, "early_stopping": STOPPING}
    return {"training": training, "model": {"model": "mdvae", "hidden": 64}}


def _fine_tuned(dataset: "Dataset", run: Path, first: "FirstWeights") -> dict[str, dict[str, Any]]:
    sized = _sized(dataset, first.model["model"])
    first_folder = str((run / FIRST).absolute())
    rounds = sized["training"]["rounds"] // FEWER
    schedule = {"warmup_rounds": rounds // 4, "annealing": {"rounds": rounds // 4}}
    change = {"rounds": rounds, "learning_rate": LOWER, "initial": first_folder} | schedule
    return {"training": sized["training"] | change, "model": dict(first.model)}


def _labelled(dataset: "Dataset") -> float:
    """Seconds of labels in training."""
    if dataset.dimension.kind != "trace":  # a label a turn: as much as was recorded
        return dataset.seconds["train"]
    return dataset.labels["train"] / dataset.rate


def _training(dataset: "Dataset", rounds: int) -> dict[str, Any]:
    return {
        "rounds": rounds,
        "streams": 64,
        "session_seconds": min(50.0, max(dataset.lengths)),
        "learning_rate": 1e-3,
        "weight_decay": 0.1,
        "annealing": {"rounds": rounds // 4},
        "calibrate": True,
    }


def _keep(first: "FirstWeights", folder: Path) -> None:
    """Write the weights that training starts from as those of a run, or check that they are there."""
    from ..models.run_folder import read, write, written

    path = folder / "model.safetensors"
    if path.is_file():
        there, _ = read(path)
        if there.keys() != first.tensors.keys() or not all(
            there[name].equal(tensor) for name, tensor in first.tensors.items()
        ):
            raise UserError(f"{folder}: weights of another bundle; give another folder")
        return
    with written(folder):
        folder.mkdir(exist_ok=True)
    write(first.tensors, path, {})


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Tables key by key, modalities by their name; everything else is replaced."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        elif key == "modalities" and isinstance(old, list) and isinstance(value, list):
            changes = {m.get("name"): m for m in value if isinstance(m, dict)}
            known = [m["name"] for m in old]
            if unknown := [name for name in changes if name not in known]:
                raise UserError(f"modality {one_line(unknown[0])}: the study has {', '.join(known)}")
            merged[key] = [_merged(m, changes.get(m["name"], {})) for m in old]
        else:
            merged[key] = value
    return merged


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise UserError(f"{path}: {one_line(error)}") from None


def _only_dimension(study: "Study") -> str:
    names = [dimension.name for dimension in study.description.dimensions]
    if len(names) != 1:
        have = f" ({', '.join(names)})" if names else ""
        raise UserError(f"{study.folder}: {counted(len(names), 'dimension')}{have}; give --dimension NAME")
    return names[0]


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    names = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in (one, other)]
    return names[0] == names[1] and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names[0]
    )


def _report(dataset: "Dataset") -> None:
    for line in dataset.left_out:
        say(f"enrapt: {line}")
    what = {"interval": "rated turn", "session": "place with its session's rating"}
    for part, people in dataset.people.items():
        count = dataset.labels[part]
        labels = f"{duration(count / dataset.rate)} rated"
        if (kind := dataset.dimension.kind) in what:
            labels = counted(count, what[kind], "places with their sessions' ratings" * (kind == "session"))
        print(
            f"{part}: {counted(len(people), 'person', 'people')}, {duration(dataset.seconds[part])}, {labels}"
        )


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on standard error, if that is a terminal."""
    from rich.progress import Progress

    from .styled import StyledConsole

    with Progress(console=StyledConsole(sys.stderr), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading the study")
        yield lambda what, done, of: bar.update(
            task, description=f"{what} sessions", completed=done, total=of
        )


def _line(text: str) -> str:
    """One line of at most 1000 characters."""
    return one_line(text)[:1000].strip()
