"""What all models share: normalisation, likelihoods, and the interface by which they are used.

A model defines its latents, how they are inferred and what its decoders give (the abstract methods of
`Model`). Everything else follows: `encode`, `decode`, `generate` and `log_likelihood`, for any modalities
given any others. Training needs its `loss`; a causal model also has `initial_state` and `filter`.

Data are dictionaries of arrays by modality in raw units, `[N, *shape]`, for a model of sequences
`[N, T, *shape]`. A value that is all NaN is missing, and a modality left out is missing throughout.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import arguments
from .batch import Batch, Data, batch_of, check_batch
from .importance import log_evidence
from .latents import Inferred, Latent, Latents, repeated
from .likelihoods import mean, sample, standard_normal
from .losses import Losses
from .modality import Modality
from .normalised import Normalised, Values

State = tuple[Tensor, ...]  # carried from tick to tick, each `[B, …]`


class Model(Normalised, ABC):
    """A multimodal variational model.

    Attributes:
        modalities: in the order of the configuration.
        sizes: of the latents, by name, in order.
        axes: leading axes of the data: 1, samples; 2, sequences and their ticks.
        static: names of latents that are constant over a sequence.
        needs: what it has to learn from, if that is not data alone.
    """

    Config: ClassVar[type[Any]]
    axes: ClassVar[int] = 1
    static: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str | None] = None
    config: Any
    sizes: dict[str, int]

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities)
        self.observed = tuple(m for m in modalities if m.role == "observed")
        self.contexts = tuple(m for m in modalities if m.role == "context")
        self.targets = tuple(m for m in modalities if m.role == "target")

    @classmethod
    def configured(cls, modalities: Any, options: dict[str, Any]) -> Any:
        """The model's configuration: as it is, or of modalities with these options.

        Raises:
            ValueError, TypeError: modalities or options that the model does not have.
        """
        if isinstance(modalities, cls.Config) and not options:
            return modalities
        modalities = tuple(modalities) if isinstance(modalities, Iterable) else (modalities,)
        if isinstance(modalities, str) or any(not isinstance(m, Modality) for m in modalities):
            found = ", ".join(type(m).__name__ for m in modalities)
            raise ValueError(f"{cls.__name__} takes a list of Modality, found {found}")
        return cls.Config(modalities, **options)

    # Defined by each model.

    @abstractmethod
    def encoded(self, x: Values, mask: Values) -> Any:
        """Everything about data that needs no draw of a latent: tensors of B rows, in a tuple or dictionary.

        Args:
            x: `[B, D]` or `[B, T, D]` by modality; a masked value may be anything.
            mask: bool `[B]` or `[B, T]`.
        """

    @abstractmethod
    def inferred(self, encoded: Any, noise: Values | None, state: State | None = None) -> Inferred:
        """The posterior of the latents, sampled with noise from N(0, 1), or at its mean without.

        Args:
            noise: by latent, `[B, Z]` or `[B, T, Z]`.
        """

    @abstractmethod
    def outputs(self, name: str, z: Values) -> Tensor:
        """A decoder's outputs, `[…, width]`."""

    @abstractmethod
    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """What training minimises, in nats, and the state after the data.

        Args:
            fed: where the encoders see what is available; a value that is not fed is still reconstructed,
                which teaches prediction across modalities. None: everywhere. Models that learn from subsets
                of their modalities as they are do not use it.
            state: of a causal model of sequences, at the start; () for that of a new sequence.
            beta: weight of the KL.
            generator: draws all noise; None for PyTorch's own.
        """

    # Used by everybody.

    def batch(self, data: Data | Batch, given: Iterable[str] | None = None) -> Batch:
        """Checked data on the model's device and in its type, of those modalities only.

        Raises:
            UserError: as `batch_of`; a name in `given` that the model does not have.
        """
        batch = self.checked(data)
        some = next(self.buffers())
        batch = batch.to(some.device, some.dtype)
        return batch if given is None else batch.given(arguments.check_names(given, self.modalities))

    def checked(self, data: Data | Batch) -> Batch:
        """The same on their own device and in their own type; of a `Batch`, only names and shapes are
        checked."""
        if not isinstance(data, Batch):
            return batch_of(data, self.modalities, self.axes)
        check_batch(data, self.modalities)
        return data

    def flat(self, x: Values) -> dict[str, Tensor]:
        """Values `[…, *shape]` as `[…, D]`."""
        axes = {name: len(self.by_name[name].shape) for name in x}
        return {name: value.flatten(-axes[name]) if axes[name] > 1 else value for name, value in x.items()}

    def encode(
        self,
        data: Data | Batch,
        given: Iterable[str] | None = None,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Latents:
        """Draws of the latents from their posterior given what is present.

        Args:
            given: the modalities to use; by default all.
            samples: S draws, on an axis in front; None for one set of latents at the posterior's mean.
            generator: draws all noise; None for PyTorch's own.

        Raises:
            UserError: data that do not fit the model; names that it does not have; no draws.
        """
        if samples is not None:
            arguments.check_count("samples", samples)
        batch = self.batch(data, given)
        encoded = self.encoded(self.flat(batch.x), batch.available)
        shape = next(iter(batch.available.values())).shape
        if samples is None:
            inferred = self.inferred(encoded, None)
        else:
            inferred = self.drawn(encoded, self.noise(shape, generator, samples))
        return self.latents(inferred.z, axis=0 if samples is None else 1)

    def latents(self, parts: Values, axis: int = 0) -> Latents:
        """Latents by name as an object that `decode` takes."""
        private = tuple(m.name for m in self.modalities if m.name in self.sizes)
        return Latents(parts, private, axis, self.static)

    def decode(self, z: Values, of: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The mean of p(x_m | z) in raw units, `[…, *shape]` by modality, of observed ones and targets.

        Args:
            z: latents, as `encode` returns them; not all of them, if `of` needs not all.
            of: the modalities to decode; by default all.

        Raises:
            UserError: latents that are missing or of other sizes, a name that the model does not have, or a
                context's.
        """
        decoded, z = self._decoded(of), self._checked_latents(z)
        return {m.name: self.shaped(m, self.mean(m, z)) for m in decoded}

    def draw(
        self, z: Values, of: Iterable[str] | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """A draw from p(x_m | z) in raw units, by modality, as `decode`."""
        arguments.check_generator(generator)
        decoded, z, drawn = self._decoded(of), self._checked_latents(z), {}
        for m in decoded:
            value = sample(m.likelihood, self.distribution(m, self.outputs(m.name, z)), generator)
            drawn[m.name] = self.shaped(m, self.in_raw_units(m, value))
        return drawn

    def _decoded(self, of: Iterable[str] | None) -> list[Modality]:
        names = arguments.decoded_names(of, self.modalities)
        return [m for m in self.modalities if m.name in names]

    def _checked_latents(self, z: Values) -> Values:
        return arguments.checked_latents(z, self.decoded_from, self.static, next(self.buffers()))

    @property
    def decoded_from(self) -> dict[str, int]:
        """What decoders take, by name, with its size: the latents, and in some models a state."""
        return self.sizes

    @torch.no_grad()
    def log_likelihood(
        self,
        data: Data | Batch,
        of: Iterable[str] | None = None,
        given: Iterable[str] = (),
        samples: int = 1000,
        chunk: int = 100,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """log p(x_of | x_given) of what is present, nats in raw units, `[N]`, by importance sampling; see
        `importance`.

        log p(x | y) is log p(x, y) − log p(y), each with its own posterior as the proposal and both with the
        same draws: 0 where x is missing. In expectation the estimate of a log p is below it; it converges as
        K grows, and is exact for any K where q is p(z | x).

        Args:
            of: by default all but those given.
            given: contexts in the data are always given.
            samples: K.
            chunk: of them in memory at a time; the draws, and so the result, do not depend on it.
            generator: draws all noise; None for PyTorch's own.

        Raises:
            UserError: data that do not fit the model; names that it does not have, that are in both `of` and
                `given`, or are not in the data; no draws.
        """
        arguments.check_count("samples", samples)
        arguments.check_count("chunk", chunk)
        batch = self.batch(data)
        chosen, given = arguments.scored_names(of, given, batch.x, self.modalities)
        known = [*given, *(m.name for m in self.contexts)]
        batches = [batch.given([*chosen, *known])]
        if any(self.by_name[name].role != "context" for name in given):  # contexts have no likelihood
            batches.append(batch.given(known))
        joint, *part = log_evidence(self, batches, samples, chunk, generator)
        return joint - part[0] if part else joint

    def drawn(self, encoded: Any, noise: Values) -> Inferred:
        """The posterior sampled with noise `[K, B, …]`: latents `[K, B, …]`."""
        draws = len(next(iter(noise.values())))
        rows = {name: value.flatten(0, 1) for name, value in noise.items()}
        inferred = self.inferred(repeated(encoded, draws), rows)

        def unfolded(value: Tensor) -> Tensor:
            return value.unflatten(0, (draws, -1))

        return Inferred(
            {name: Latent(*map(unfolded, latent)) for name, latent in inferred.latents.items()},
            {name: unfolded(value) for name, value in inferred.context.items()},
        )

    def noise(
        self, shape: tuple[int, ...], generator: torch.Generator | None, samples: int | None = None
    ) -> dict[str, Tensor]:
        """Draws from N(0, 1) by latent, `[*shape, Z]`, of static ones `[B, Z]`; K samples on an axis in
        front, which do not depend on how many are drawn at a time."""
        arguments.check_generator(generator)
        like = next(self.buffers())
        draws = [
            {
                name: standard_normal((*(shape[:1] if name in self.static else shape), size), like, generator)
                for name, size in self.sizes.items()
            }
            for _ in range(samples or 1)
        ]
        if samples is None:
            return draws[0]
        return {name: torch.stack([draw[name] for draw in draws]) for name in self.sizes}

    # Shared by the models.

    def modality(self, name: str) -> Modality:
        """The modality of that name.

        Raises:
            UserError: there is none.
        """
        (name,) = arguments.check_names([name], self.modalities)
        return self.by_name[name]

    def mean(self, m: Modality, z: Values) -> Tensor:
        """The mean of p(x_m | z) in raw units, `[…, D]`."""
        return self.in_raw_units(m, mean(m.likelihood, self.distribution(m, self.outputs(m.name, z))))

    def cost(self, name: str, x: Tensor, mask: Tensor, z: Values, spread: Tensor | None = None) -> Tensor:
        """−log p(x_m | z), nats, of the normalised x; 0 where masked. x `[…, D]`, z `[…, Z]`.

        Args:
            spread: of x as a label, `[…, D]`; see `Batch`.
        """
        return self.nats(self.by_name[name], x, mask, self.outputs(name, z), spread)
