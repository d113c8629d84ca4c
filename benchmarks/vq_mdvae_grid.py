"""VQ-MDVAE on GRID sentences: six pictures whose mouth is covered, and what stands behind the cover.

    python benchmarks/vq_mdvae_grid.py ../shared/clips [--ticks validation] [--picture mouths.png]

The denoising experiment of Sadok, Leglaive, Girin, Alameda-Pineda & Séguier (2023), with little data: the
`grid_*.mpg` of a folder, 64×64 grey crops of the face and a spectrum at each picture. The six pictures in the
middle of every clip, and the sound at them, are withheld from all training, that of the VQ-VAEs included; the
rest of the same clips is trained on. So the speakers are known, as are the pictures before and after, and
what is said in between is not. Leaving out a speaker would ask for the mouth of a face never seen.

Compared are the VQ-VAE alone, VQ-MDVAE of the pictures only (with as many dynamic latents) and VQ-MDVAE of
pictures and sound. Both see 16 ticks, the six in the middle, all the sound there; the six pictures are fed as
they are, cover and all, or masked as missing. The MDVAEs learn the leading principal components of the
VQ-VAEs' vectors. For comparison: a straight line through time from the picture before to the one after, the
mean picture of what is trained on in the clip, and the VQ-VAE of the pictures without the cover.

PSNR in dB on the covered pixels and on the whole picture as decoded, means over pictures, ± standard error
over clips. Settings were chosen with `--ticks validation`, which withholds six other pictures as well.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from datasets import grid
from torch import Tensor, nn

from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality
from enrapt.models.vq_vae import VQVAE, VQVAEConfig
from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.features.face_model import find_face_model
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame

TICKS = 75  # of a clip
COVERED = 6
STRETCHES = {"test": slice(34, 40), "validation": slice(22, 28)}
MOUTH = slice(42, 60), slice(18, 46)  # rows and columns of the cover
GREY = 0.5

COPIES = 16  # of every clip, for the VQ-VAEs: moved, mirrored, brighter or darker, louder or softer
CODING = {"video": (1800, 16), "audio": (1000, 32)}  # steps and samples a step of the VQ-VAEs
COMPONENTS = 48  # of the coders' vectors, 512 numbers
STATIC = 16  # dimensions of w
STEPS, STREAMS, LENGTH = 700, 8, 16  # of the MDVAEs' training
RATE = 4e-3
BETA, WARMUP = 0.1, 200  # β, and the steps over which it rises to that
FED = ("fed", "masked")  # what becomes of the covered pictures


class Data(NamedTuple):
    """Pictures, 0 … 1, `[N, T, 64, 64]`, and spectra `[N, T, 512]`."""

    video: Tensor
    audio: Tensor


class Clip(NamedTuple):
    pictures: np.ndarray  # RGB uint8 [T, height, width, 3]
    square: grid.Square
    spectra: np.ndarray


def read(path: Path, face_model: Path) -> Clip:
    pictures, faces, sound = [], [], []
    with FaceFeatures(face_model) as face:
        for piece in Recording(path):
            if isinstance(piece, Frame):
                pictures.append(piece.image)
                faces.append(face.extract(piece))
            else:
                sound.append(piece.samples)
    found = np.array([f for f in faces if f is not None])
    square = grid.face_square(found, *pictures[0].shape[:2])
    return Clip(np.stack(pictures[:TICKS]), square, grid.spectra(np.concatenate(sound), TICKS))


def as_they_are(clips: list[Clip]) -> Data:
    video = np.stack([grid.cut(clip.pictures, clip.square) for clip in clips])
    return Data(torch.from_numpy(video), torch.from_numpy(np.stack([clip.spectra for clip in clips])))


def varied(clips: list[Clip], rng: np.random.Generator) -> Data:
    """One copy of each clip, changed in the same way from its first tick to its last."""
    video, audio = [], []
    for clip in clips:
        left, top, side = clip.square
        dx, dy, growth = rng.uniform(-0.03, 0.03, 3) * side
        square = grid.Square(
            round(left + dx - growth / 2), round(top + dy - growth / 2), round(side + growth)
        )
        pictures = grid.cut(clip.pictures, square)[..., :: rng.choice((1, -1))]
        video.append(pictures * rng.uniform(0.9, 1.1) + rng.uniform(-0.05, 0.05))
        audio.append(clip.spectra + rng.uniform(-0.7, 0.7))  # ± 3 dB
    return Data(torch.from_numpy(np.stack(video)).float(), torch.from_numpy(np.stack(audio)).float())


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
    """A trained VQ-VAE, the units that it was trained in, and its vectors' leading principal components.

    Of a face's vector, 512 numbers, little moves within a clip and most of that in a few directions; in these
    an MDVAE learns within hundreds of steps what it had not begun to in 1500.
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
        """Encoded, quantised and decoded, all of it."""
        return self.vq.decode(self.vq.encode((x - self.center) / self.scale)) * self.scale + self.center


def train_coder(
    samples: Tensor, plain: Tensor, center: Tensor, scale: Tensor, steps: int, batch: int
) -> Coder:
    """A VQ-VAE of these samples `[N, *shape]`, components of the plain ones among them."""
    vq = VQVAE(VQVAEConfig(tuple(samples.shape[1:])))

    def loss() -> Tensor:
        losses, encoded = vq.loss((samples[torch.randint(len(samples), (batch,))] - center) / scale)
        vq.codebook.update(encoded)  # the graph has its own copy of the codes
        return losses.total

    optimise(vq, steps, 1e-3, lambda _: loss())
    with torch.no_grad():
        vectors = vq.encode((plain - center) / scale)
    used = len(vq.codebook.nearest(vectors.unflatten(-1, (-1, vq.config.size))).unique())
    mean = vectors.mean(0)
    values, directions = torch.linalg.eigh(torch.cov(vectors.T))  # rising
    share = values[-COMPONENTS:].sum() / values.sum()
    print(f"  {used} codes in use; {COMPONENTS} components have {share:.1%} of the vectors' variance")
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
        # A gap like that of the experiment in most; one modality throughout in a few.
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
    """The covered pictures as the model decodes them, `[N, 6, 64, 64]`; x covers a window of the clip."""
    present = {name: torch.ones(v.shape[:2], dtype=torch.bool) for name, v in x.items()}
    if masked:
        present["video"][:, covered] = False
    z = {name: latent.mean for name, latent in model.encode(x, present).items()}
    return coder.decode(model.decode(z)["video"][:, covered])


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """dB re a full scale of 1, mean over a clip's pictures: `[N, 6, height, width]` → `[N]`."""
    error = (estimate.clamp(0, 1) - truth).square().mean((-2, -1))
    return (-10 * torch.log10(error)).mean(1)


def table(rows: dict[str, Tensor], truth: Tensor) -> None:
    def cell(db: Tensor) -> str:
        return f"{db.mean():8.2f} ± {db.std() / len(db) ** 0.5:.2f}"

    print(f"\n{'PSNR, dB':44}{'mouth':>13}{'whole':>15}")
    mouth = {name: psnr(x[..., *MOUTH], truth[..., *MOUTH]) for name, x in rows.items()}
    for name, x in rows.items():
        print(f"{name:44}{cell(mouth[name])}{cell(psnr(x, truth))}")
    for fed in FED:
        gain = mouth[f"VQ-MDVAE, pictures and sound, {fed}"] - mouth[f"VQ-MDVAE, pictures only, {fed}"]
        print(f"{f'what sound adds, {fed}':44}{cell(gain)}")


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
    figure.savefig(path, dpi=110, bbox_inches="tight")  # names and all


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ticks", choices=tuple(STRETCHES), default="test")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    began = time.perf_counter()

    def said(what: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s: {what}", flush=True)

    face_model = find_face_model()
    clips = [read(path, face_model) for path in sorted(args.folder.glob("grid_*.mpg"))]
    kept = torch.ones(TICKS, dtype=torch.bool)
    for stretch in (STRETCHES["test"], STRETCHES[args.ticks]):
        kept[stretch] = False
    copies = [varied(clips, rng) for _ in range(COPIES)]
    training = Data(*(torch.cat(part) for part in zip(*copies, strict=True)))
    said(f"{len(clips)} clips, {len(clips) * int(kept.sum())} ticks to train on")

    clean = as_they_are(clips)
    coders, features = {}, {}
    for name, x in training._asdict().items():
        samples = x[:, kept].flatten(0, 1)
        plain = getattr(clean, name)
        center = samples.mean() if name == "video" else samples.mean(0)
        scale = (samples - center).std()
        coders[name] = train_coder(samples, plain[:, kept].flatten(0, 1), center, scale, *CODING[name])
        features[name] = coders[name].encode(plain)
        said(f"VQ-VAE of {name}")

    video, audio = (Modality(name, features[name].shape[-1], likelihood="normal") for name in Data._fields)
    sizes = {
        "pictures only": MDVAEConfig((video,), hidden=128, static=STATIC, shared=24, private=0),
        "pictures and sound": MDVAEConfig((audio, video), hidden=128, static=STATIC, shared=16, private=8),
    }
    models = {}
    for name, config in sizes.items():
        models[name] = train_mdvae({m.name: features[m.name] for m in config.modalities}, kept, config, rng)
        said(f"VQ-MDVAE, {name}")

    stretch = STRETCHES[args.ticks]
    first = stretch.start - (LENGTH - COVERED) // 2
    window = slice(first, first + LENGTH)
    covered = slice(stretch.start - first, stretch.stop - first)
    corrupted = clean.video.clone()
    corrupted[:, stretch, *MOUTH] = GREY
    x = {
        "audio": coders["audio"].encode(clean.audio[:, window]),
        "video": coders["video"].encode(corrupted[:, window]),
    }
    truth = clean.video[:, stretch]
    along = torch.arange(1, COVERED + 1).view(1, -1, 1, 1) / (COVERED + 1)
    rows = {
        "corrupted": corrupted[:, stretch],
        "straight line through time": torch.lerp(
            clean.video[:, stretch.start - 1, None], clean.video[:, stretch.stop, None], along
        ),
        "mean picture of the rest of the clip": clean.video[:, kept].mean(1, keepdim=True).expand_as(truth),
        "VQ-VAE": coders["video"].through(corrupted[:, stretch]),
    }
    for fed in FED:
        for name, model in models.items():
            seen = {m.name: x[m.name] for m in model.config.modalities}
            rows[f"VQ-MDVAE, {name}, {fed}"] = restored(
                model, coders["video"], seen, covered, fed == "masked"
            )
    rows["VQ-VAE of the uncovered pictures"] = coders["video"].through(truth)
    table(rows, truth)
    if args.picture:
        shown = {
            "original": truth,
            "corrupted": rows["corrupted"],
            "VQ-VAE": rows["VQ-VAE"],
            "visual only": rows["VQ-MDVAE, pictures only, masked"],
            "audiovisual": rows["VQ-MDVAE, pictures and sound, masked"],
        }
        draw(shown, (0, 6), args.picture)
    said("done")


if __name__ == "__main__":
    main()
