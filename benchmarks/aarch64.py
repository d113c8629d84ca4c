"""enrapt on 64-bit ARM under emulation: installed from wheels, a clip replayed beside this machine.

    python benchmarks/aarch64.py [--folder F] [--start S] [--end S] [--face-model FILE] [--processor CPU]

Needs Debian or Ubuntu on x86-64, their package index and that of Python, and the package qemu-user-static; no
root. Some minutes, and 1 GB in the folder. Prints what was installed and the largest difference between the
estimates of both; the exit status is 1 if it is more than 0.001. Says nothing about speed.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from enrapt.cli.demo import CLIP
from enrapt.realtime.features.face.model_file import find_face_model

ALLOWED = 0.001
REPOSITORY = Path(__file__).parents[1]
PYTHON = "python3.11"  # of Debian 12
# What Python and the wheels link to, and PortAudio, which `doctor` looks for.
PACKAGES = (PYTHON, "libpython3.11-stdlib", "libstdc++6", "libgomp1", "zlib1g", "libssl3", "libffi8")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
# Libraries that read the processor's properties fail without these files.
CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""


def run(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} …: {done.stderr.strip()[-2000:]}")
    return done.stdout


def system(folder: Path) -> Path:
    """Debian's Python for ARM, unpacked."""
    root, apt = folder / "root", folder / "apt"
    for place in ("lists/partial", "archives/partial"):
        (apt / place).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
        "Debug::NoLocking": "1",
    }
    get = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    run([*get, "update"])
    run([*get, "install", "--yes", "--download-only", "--no-install-recommends", *PACKAGES])
    for package in sorted((apt / "archives").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)])
    cores = root / "sys/devices/system/cpu"
    cores.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (cores / name).write_text("0\n")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(CPUINFO)
    return root


def installed(folder: Path) -> Path:
    """enrapt and what it needs, as wheels for ARM alone."""
    pip, site = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"], folder / "site"
    run([*pip, "wheel", "--no-deps", str(REPOSITORY), "--wheel-dir", str(folder / "wheels")])
    (wheel,) = (folder / "wheels").glob("enrapt-*.whl")
    platforms = [f"--platform={name}_aarch64" for name in PLATFORMS]
    run([*pip, "install", "--target", str(site), "--upgrade", "--only-binary=:all:", "--python-version=3.11",
         "--implementation=cp", *platforms, str(wheel)])  # fmt: skip
    return site


def replay(python: list[str], environment: dict[str, str], estimates: Path, options: list[str]) -> list[Any]:
    command = [*python, "-m", "enrapt.cli.main", "replay", str(CLIP), *options]
    command += ["--to", f"jsonl:{estimates}", "--no-timing", "--overwrite", "--offline"]
    run(command, env=environment)
    return [json.loads(line) for line in estimates.read_text().splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep what is unpacked here, and use it again")
    parser.add_argument("--start", type=float, default=1.0)
    parser.add_argument("--end", type=float, default=1.8)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--processor", default="cortex-a72", help="as qemu names it (%(default)s: a Pi 4)")
    args = parser.parse_args()
    options = ["--face-model", str(find_face_model(args.face_model))]
    options += ["--start", str(args.start), "--end", str(args.end)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        root, site = system(folder), installed(folder)
        emulator = ["qemu-aarch64-static", "-L", str(root), str(root / "usr/bin" / PYTHON)]
        environment = {
            "QEMU_CPU": args.processor,
            "PYTHONPATH": str(site),
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        there = run([*emulator, "-c", "import platform; print(platform.machine())"], env=environment).strip()
        versions = [f"{d.name} {d.version}" for d in importlib.metadata.distributions(path=[str(site)])]
        print(f"{there} ({args.processor}, emulated): {', '.join(sorted(versions, key=str.lower))}")
        theirs = replay(emulator, environment, folder / "there.jsonl", options)
        ours = replay([sys.executable], dict(os.environ), folder / "here.jsonl", options)
    same = [a["present"] for a in theirs] == [b["present"] for b in ours]
    largest = max(
        abs(a["engagement"][name] - b["engagement"][name])
        for a, b in zip(theirs, ours, strict=True)
        for name in ("mean", "std", "low", "high")
    )
    print(f"{len(ours)} estimates; what is present is {'the same' if same else 'NOT the same'} at every tick")
    print(
        f"largest difference between {there} and {platform.machine()}: {largest:.4f} of engagement's 0 to 1"
    )
    return int(largest > ALLOWED or not same)


if __name__ == "__main__":
    sys.exit(main())
