"""Whether the modalities that a model generates agree, by classifiers of each (Shi et al. 2019, section 4.1).

A classifier takes values of one modality and gives scores of classes, `[…, C]`. Of a modality that is a class
itself, one-hot, `torch.nn.Identity()` is one.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from ..contracts.errors import UserError
from .batch import Batch, Data
from .model import Model

Classifier = Callable[[Tensor], Tensor]  # `[N, *shape]` → scores `[N, C]`


@torch.no_grad()
def coherence(generated: Mapping[str, Tensor], classifiers: Mapping[str, Classifier]) -> float:
    """Share of generated samples whose modalities the classifiers put in the same class.

    Args:
        generated: `[N, *shape]` by modality, as `generate` or `decode` returns them.
        classifiers: of at least two of the modalities; the others do not count.

    Raises:
        UserError: a classifier of a modality that was not generated, or of fewer than two; no samples, or
            not the same number of each.
    """
    if len(classifiers) < 2 or not classifiers.keys() <= generated.keys():
        raise UserError(
            f"coherence: give classifiers of two or more of {', '.join(generated)}, found "
            f"{', '.join(classifiers) or 'none'}"
        )
    classes = [classifier(generated[name]).argmax(-1) for name, classifier in classifiers.items()]
    if len({each.shape for each in classes}) > 1 or not classes[0].numel():
        found = ", ".join(
            f"{list(each.shape)} of {name}" for name, each in zip(classifiers, classes, strict=True)
        )
        raise UserError(f"coherence: expected classes of the same samples, at least one, found {found}")
    first, *others = classes
    return torch.stack([first == other for other in others]).all(0).double().mean().item()


@torch.no_grad()
def conditional_accuracy(
    model: Model,
    data: Data | Batch,
    given: Iterable[str],
    of: str,
    classifier: Classifier,
    truth: Tensor | None = None,
    samples: int | None = None,
    generator: torch.Generator | None = None,
) -> float:
    """Share of samples in which a modality generated from others is of the right class.

    What is generated is the mean of p(x_of | z).

    Args:
        given: the modalities that the model sees.
        of: the modality that is generated.
        truth: classes, `[N]` or of sequences `[N, T]`; by default those in which the classifier puts the data
            of that modality, where there are any.
        samples: S draws of z from the posterior, each of which counts; None takes z at the posterior's mean.

    Raises:
        UserError: as `Model.encode`; no `truth`, and data without that modality; a `truth` of other samples.
    """
    batch, m = model.batch(data), model.modality(of)

    def classes(value: Tensor) -> Tensor:
        rows = value.reshape(-1, *m.shape)
        return classifier(rows).argmax(-1).view(value.shape[: value.ndim - len(m.shape)])

    found = classes(model.decode(model.encode(batch, given, samples, generator), [of])[of])
    if truth is not None:
        truth = torch.as_tensor(truth).to(found.device)
        if truth.shape != found.shape[found.ndim - model.axes :]:
            expected = list(found.shape[found.ndim - model.axes :])
            raise UserError(f"truth: expected classes {expected}, found {list(truth.shape)}")
        return (found == truth).double().mean().item()
    if of not in batch.x:
        raise UserError(f"{of}: not among the data, so there is no truth; give it in `truth`")
    known = batch.available[of]
    return (found == classes(batch.x[of]))[..., known].double().mean().item()
