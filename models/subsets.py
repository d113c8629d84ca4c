"""The subsets of modalities in a training step's ELBOs (Wu & Goodman 2018, section 2.2)."""

import numpy as np

Subset = tuple[str, ...]


def training_subsets(names: Subset, k: int, rng: np.random.Generator) -> list[Subset]:
    """All modalities, each alone, and k random subsets of other sizes, drawn for each step.

    One or two modalities have no other sizes; nothing is drawn then.
    """
    if len(names) == 1:
        return [names]
    subsets = [names, *((name,) for name in names)]
    for _ in range(k if len(names) > 2 else 0):
        chosen = rng.choice(len(names), rng.integers(2, len(names)), replace=False)
        subsets.append(tuple(names[i] for i in sorted(chosen)))
    return subsets
