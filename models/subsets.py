"""The subsets of modalities in a training step's ELBOs (Wu & Goodman 2018, section 2.2)."""

from itertools import combinations

import torch

Subset = tuple[str, ...]


def every_subset(names: Subset) -> list[Subset]:
    """All subsets that are not empty, the largest first."""
    return [s for size in range(len(names), 0, -1) for s in combinations(names, size)]


def training_subsets(names: Subset, k: int, generator: torch.Generator | None = None) -> list[Subset]:
    """All modalities, each alone, and k random subsets of other sizes, drawn for each step.

    One or two modalities have no other sizes; nothing is drawn then.
    """
    if len(names) == 1:
        return [names]
    subsets = [names, *((name,) for name in names)]
    for _ in range(k if len(names) > 2 else 0):
        device = generator.device if generator else None
        size = int(torch.randint(2, len(names), (), generator=generator, device=device))
        chosen = torch.randperm(len(names), generator=generator, device=device)[:size].tolist()
        subsets.append(tuple(names[i] for i in sorted(chosen)))
    return subsets
