"""VQ-MDVAE on GRID sentences: restoring six frames in which the mouth is covered.

    python benchmarks/vq_mdvae_grid.py ../shared/clips [--ticks validation] [--picture mouths.png]

The denoising experiment of Sadok, Leglaive, Girin, Alameda-Pineda & Séguier (2023), with little data: the
`grid_*.mpg` of a folder, 64×64 grey crops of the face and a spectrum per frame. The six middle frames of
every clip and their sound are excluded from all training, including that of the VQ-VAEs; the rest of the same
clips is used. So the speakers and the neighbouring frames are known, and the speech in between is not. A
held-out speaker would require the mouth of an unknown face.

Compared are the VQ-VAE alone, VQ-MDVAE of video only (with as many dynamic latents) and VQ-MDVAE of video and
sound. Both take 16 ticks, with the six in the middle and all sound present; the six frames are given
corrupted, or masked as missing. The MDVAEs model the leading principal components of the VQ-VAEs' vectors.
Baselines: linear interpolation from the frame before to the one after, the mean frame of the clip's training
part, and the VQ-VAE on the frames without the cover.

PSNR in dB on the covered pixels and on the whole decoded frame, means over frames ± standard error over
clips. Settings were chosen with `--ticks validation`, which excludes six other frames too.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from datasets.grid import TICKS, Data, augmented, read, unchanged
from torch import Tensor, nn

from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality
from enrapt.models.vq_vae import VQVAE, VQVAEConfig
from enrapt.realtime.features.face.model_file import find_face_model

COVERED = 6
EXCLUDED = {"test": slice(34, 40), "validation": slice(22, 28)}
MOUTH = slice(42, 60), slice(18, 46)  # rows and columns of the cover
GREY = 0.5

COPIES = 16  # augmented copies of every clip, for the VQ-VAEs
CODING = {"video": (1800, 16), "audio": (1000, 32)}  # steps and batch size of the VQ-VAEs
COMPONENTS = 48  # principal components of the coders' vectors of 512 numbers
STATIC = 16  # dimensions of w
STEPS, STREAMS, LENGTH = 700, 8, 16  # of the MDVAEs' training
RATE = 4e-3
BETA, WARMUP = 0.1, 200  # β, and the steps over which it rises to it
INPUTS = ("corrupted", "masked")  # the covered frames as input


def optimise(model: nn.Module, steps: int, rate: float, loss: Callable[[int], Tensor]) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        total = loss(step)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 499:
            print(f"  step {step + 1}: loss {total.item():.1f}", flush=True)


class Coder(NamedTuple):
    """A trained VQ-VAE, its normalisation, and the leading principal components of its vectors.

    A face's vector of 512 numbers varies little within a clip, mostly in a few directions. On these an MDVAE
    learns in hundreds of steps what it does not begin to learn in 1500 on the vectors.
    """

    vq: VQVAE
    center: Tensor
    scale: Tensor
    mean: Tensor  # [F]
    axes: Tensor  # [F, COMPONENTS]

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """`[…, *shape]` → `[…, COMPONENTS]`."""
        return (self.vq.encode((x - self.center) / self.scale) - self.mean) @ self.axes

    @torch.no_grad()
    def decode(self, features: Tensor) -> Tensor:
        return self.vq.decode(features @ self.axes.T + self.mean) * self.scale + self.center

    @torch.no_grad()
    def through(self, x: Tensor) -> Tensor:
        """Encode, quantise and decode, with all components."""
        return self.vq.decode(self.vq.encode((x - self.center) / self.scale)) * self.scale + self.center


def train_coder(
    samples: Tensor, plain: Tensor, center: Tensor, scale: Tensor, steps: int, batch: int
) -> Coder:
    """A VQ-VAE of samples `[N, *shape]`; principal components of those without augmentation, `plain`."""
    vq = VQVAE(VQVAEConfig(tuple(samples.shape[1:])))

    def loss() -> Tensor:
        losses, encoded = vq.loss((samples[torch.randint(len(samples), (batch,))] - center) / scale)
        vq.codebook.update(encoded)  # safe before backward: the graph has its own copy of the codes
        return losses.total

    optimise(vq, steps, 1e-3, lambda _: loss())
    with torch.no_grad():
        vectors = vq.encode((plain - center) / scale)
    used = len(vq.codebook.nearest(vectors.unflatten(-1, (-1, vq.config.size))).unique())
    mean = vectors.mean(0)
    values, directions = torch.linalg.eigh(torch.cov(vectors.T))  # ascending
    share = values[-COMPONENTS:].sum() / values.sum()
    print(f"  {used} codes in use; {COMPONENTS} components explain {share:.1%} of the vectors' variance")
    return Coder(vq, center, scale, mean, directions[:, -COMPONENTS:])


def train_mdvae(
    features: dict[str, Tensor], kept: Tensor, config: MDVAEConfig, rng: np.random.Generator
) -> MDVAE:
    """An MDVAE of sequences of features `[N, T, F]` by modality, at the ticks kept, bool `[T]`."""
    model = MDVAE(config)
    for name, x in features.items():
        model.normalise(name, x[:, kept].mean((0, 1)), x[:, kept].std((0, 1)))
    several = len(features) > 1

    def loss(step: int) -> Tensor:
        which = torch.from_numpy(rng.integers(len(features["video"]), size=(STREAMS, 1)))
        when = torch.from_numpy(rng.integers(TICKS - LENGTH + 1, size=(STREAMS, 1))) + torch.arange(LENGTH)
        x = {name: v[which, when] for name, v in features.items()}
        available = dict.fromkeys(x, kept[when])
        # Most sequences have a gap like the experiment's; some miss one modality throughout.
        start = torch.from_numpy(rng.integers(-COVERED, LENGTH, size=(STREAMS, 1)))
        gap = (torch.arange(LENGTH) >= start) & (torch.arange(LENGTH) < start + COVERED)
        absent = torch.from_numpy(rng.random((STREAMS, 1)))
        hidden = {"video": gap | (absent < 0.1) & several, "audio": absent > 0.9}
        fed = {name: available[name] & ~hidden[name] for name in x}
        beta = BETA * min(1.0, (step + 1) / WARMUP)
        return model.loss(x, available, fed, model.noise(STREAMS, LENGTH), beta).total

    optimise(model, STEPS, RATE, loss)
    return model


@torch.no_grad()
def restored(model: MDVAE, coder: Coder, x: dict[str, Tensor], covered: slice, masked: bool) -> Tensor:
    """The covered frames as decoded by the model, `[N, 6, 64, 64]`; x is a window of the clip."""
    present = {name: torch.ones(v.shape[:2], dtype=torch.bool) for name, v in x.items()}
    if masked:
        present["video"][:, covered] = False
    z = {name: latent.mean for name, latent in model.encode(x, present).items()}
    return coder.decode(model.decode(z)["video"][:, covered])


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB re full scale 1, mean over a clip's frames: `[N, 6, height, width]` → `[N]`."""
    error = (estimate.clamp(0, 1) - truth).square().mean((-2, -1))
    return (-10 * torch.log10(error)).mean(1)


def table(rows: dict[str, Tensor], truth: Tensor) -> None:
    def cell(db: Tensor) -> str:
        return f"{db.mean():8.2f} ± {db.std() / len(db) ** 0.5:.2f}"

    print(f"\n{'PSNR, dB':44}{'mouth':>13}{'whole':>15}")
    mouth = {name: psnr(x[..., *MOUTH], truth[..., *MOUTH]) for name, x in rows.items()}
    for name, x in rows.items():
        print(f"{name:44}{cell(mouth[name])}{cell(psnr(x, truth))}")
    for given in INPUTS:
        gain = mouth[f"VQ-MDVAE, video and sound, {given}"] - mouth[f"VQ-MDVAE, video only, {given}"]
        print(f"{f'gain from sound, {given}':44}{cell(gain)}")


def draw(rows: dict[str, Tensor], clips: tuple[int, ...], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(rows), 1, figsize=(1.1 * COVERED * len(clips), 1.25 * len(rows)))
    for ax, (name, x) in zip(axes, rows.items(), strict=True):
        strip = torch.cat([torch.cat(list(x[clip]), 1) for clip in clips], 1)
        ax.imshow(strip.clamp(0, 1), cmap="gray", vmin=0, vmax=1)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        for spine in ax.spines.values():
            spine.set_visible(False)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110, bbox_inches="tight")  # including the row names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ticks", choices=tuple(EXCLUDED), default="test")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    began = time.perf_counter()

    def report(done: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s: {done}", flush=True)

    face_model = find_face_model()
    clips = [read(path, face_model) for path in sorted(args.folder.glob("grid_*.mpg"))]
    kept = torch.ones(TICKS, dtype=torch.bool)
    for excluded in (EXCLUDED["test"], EXCLUDED[args.ticks]):
        kept[excluded] = False
    copies = [augmented(clips, rng) for _ in range(COPIES)]
    training = Data(*(torch.cat(part) for part in zip(*copies, strict=True)))
    report(f"{len(clips)} clips, {len(clips) * int(kept.sum())} training ticks")

    clean = unchanged(clips)
    coders, features = {}, {}
    for name, x in training._asdict().items():
        samples = x[:, kept].flatten(0, 1)
        plain = getattr(clean, name)
        center = samples.mean() if name == "video" else samples.mean(0)
        scale = (samples - center).std()
        coders[name] = train_coder(samples, plain[:, kept].flatten(0, 1), center, scale, *CODING[name])
        features[name] = coders[name].encode(plain)
        report(f"VQ-VAE of {name}")

    video, audio = (Modality(name, features[name].shape[-1], likelihood="normal") for name in Data._fields)
    sizes = {
        "video only": MDVAEConfig((video,), hidden=128, static=STATIC, shared=24, private=0),
        "video and sound": MDVAEConfig((audio, video), hidden=128, static=STATIC, shared=16, private=8),
    }
    models = {}
    for name, config in sizes.items():
        models[name] = train_mdvae({m.name: features[m.name] for m in config.modalities}, kept, config, rng)
        report(f"VQ-MDVAE, {name}")

    gap = EXCLUDED[args.ticks]
    first = gap.start - (LENGTH - COVERED) // 2
    window = slice(first, first + LENGTH)
    covered = slice(gap.start - first, gap.stop - first)
    corrupted = clean.video.clone()
    corrupted[:, gap, *MOUTH] = GREY
    x = {
        "audio": coders["audio"].encode(clean.audio[:, window]),
        "video": coders["video"].encode(corrupted[:, window]),
    }
    truth = clean.video[:, gap]
    along = torch.arange(1, COVERED + 1).view(1, -1, 1, 1) / (COVERED + 1)
    rows = {
        "corrupted": corrupted[:, gap],
        "linear interpolation": torch.lerp(
            clean.video[:, gap.start - 1, None], clean.video[:, gap.stop, None], along
        ),
        "mean frame of the rest of the clip": clean.video[:, kept].mean(1, keepdim=True).expand_as(truth),
        "VQ-VAE": coders["video"].through(corrupted[:, gap]),
    }
    for given in INPUTS:
        for name, model in models.items():
            seen = {m.name: x[m.name] for m in model.config.modalities}
            rows[f"VQ-MDVAE, {name}, {given}"] = restored(
                model, coders["video"], seen, covered, given == "masked"
            )
    rows["VQ-VAE without the corruption"] = coders["video"].through(truth)
    table(rows, truth)
    if args.picture:
        shown = {
            "original": truth,
            "corrupted": rows["corrupted"],
            "VQ-VAE": rows["VQ-VAE"],
            "visual only": rows["VQ-MDVAE, video only, masked"],
            "audiovisual": rows["VQ-MDVAE, video and sound, masked"],
        }
        draw(shown, (0, 6), args.picture)
    report("done")


if __name__ == "__main__":
    main()
