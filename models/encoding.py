"""Sessions whose modalities are replaced by a trained model's latents, for models in two stages."""

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ..contracts.errors import UserError
from ..contracts.files import atomic_file
from .batch import Batch
from .datasets.npz import read_arrays, write_arrays
from .datasets.recordings import PARTS, read_session
from .model import Model


def encode_sessions(models: list[Model], sessions: Path, output: Path) -> tuple[int, dict[str, int]]:
    """Write the means of the latents of every tick, `[T, Z]`, instead of the modalities that they are of.

    Those of a model of one modality have its name, those of other models their own. They are missing (NaN)
    where nothing of the model's modalities is present.

    Args:
        sessions: a folder as `datasets.recordings` describes it.
        output: a folder that does not exist.

    Returns:
        Number of sessions, and the size of each new array.

    Raises:
        UserError: no sessions, an invalid one, or a folder that exists.
    """
    paths = [path for part in PARTS for path in sorted((sessions / part).glob("*.npz"))]
    if not paths:
        raise UserError(f"{sessions}: no sessions; give a folder with train, validation and test")
    if output.exists():
        raise UserError(f"{output}: exists; give a new folder")
    sizes: dict[str, int] = {}
    for path in paths:
        arrays = read_arrays(path, None)
        for model in models:
            found = _encoded(model, path, tuple(arrays))
            for m in model.modalities:
                arrays.pop(m.name, None)
            arrays |= found
            sizes |= {name: value.shape[-1] for name, value in found.items()}
        target = output / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            write_arrays(file, arrays)
    return len(paths), sizes


@torch.no_grad()
def _encoded(model: Model, path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    session = read_session(path, model.modalities, names)
    x = {name: torch.from_numpy(values) for name, values in session.items() if name in model.by_name}
    present = {name: ~value.flatten(1).isnan().any(-1) for name, value in x.items()}
    batch = Batch(x, present)
    if model.axes == 2:
        batch = Batch({k: v[None] for k, v in x.items()}, {k: v[None] for k, v in present.items()})
    z = model.encode(batch)
    anything = torch.stack(list(present.values())).any(0)
    found = {}
    for name in model.sizes:
        value = z[name].squeeze(0) if model.axes == 2 else z[name]
        value = value.expand(len(anything), -1) if value.ndim == 1 else value  # a static one
        key = model.modalities[0].name if len(model.modalities) == 1 and len(model.sizes) == 1 else name
        found[key] = torch.where(anything.unsqueeze(-1), value, torch.nan).cpu().numpy()
    return found
