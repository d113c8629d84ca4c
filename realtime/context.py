"""Values of a bundle's context modalities: constant over a run."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..bundle.metadata import Metadata
from ..contracts.errors import UserError

Values = Mapping[str, Sequence[float]]


def context_values(
    given: Values | None, recorded: Values, bundle: Metadata
) -> dict[str, NDArray[np.float32]]:
    """What the model gets of its context: float32 `[dim]` by modality.

    Args:
        given: by the caller; None for what is `recorded`, of which the bundle takes what it knows.

    Raises:
        UserError: the bundle has no such context, or it has another number of numbers.
    """
    dims = {m.name: m.dim for m in bundle.inputs if m.role == "context"}
    if given is None:
        given = {name: values for name, values in recorded.items() if name in dims}
    return {name: _vector(name, values, dims) for name, values in given.items()}


def _vector(name: str, values: Sequence[float], dims: Mapping[str, int]) -> NDArray[np.float32]:
    if name not in dims:
        raise UserError(f"the bundle has no context {name!r}; it has {', '.join(dims) or 'none'}")
    try:
        numbers = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        numbers = np.empty(0, np.float32)
    dim = dims[name]
    if numbers.shape != (dim,) or not np.isfinite(numbers).all():
        raise UserError(f"context {name}: give {dim} number{'s' * (dim != 1)}, not {values!r}")
    return numbers
