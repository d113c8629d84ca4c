"""A bundle with a context modality: its values reach the model at every tick, of any source."""

import itertools
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import KEY, LatentSpec, ModalitySpec, StateSpec, digest, read_metadata
from enrapt.cli.demo import CLIP
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime import LiveSession
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import Latency, estimate_of
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.run import Run
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.store.reader import SessionReader
from tests.support.devices import FakeDevice
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live

ROLE = (0.5, 1.25)
EXPECTED = 0.25  # what the graph below adds for it
TICKS = 15

# Mean 0.1 with a face, plus EXPECTED with ROLE; the standard deviation is a hundredth of the sum of what the
# role has added since the start.
GRAPH = """
<ir_version: 9, opset_import: ["": 17]>
role (float[batch, 57] face, float[batch, 2] role, float[batch, 2] mask, float[batch, 1] state_sum)
    => (float[batch, 1] engagement_mean, float[batch, 1] engagement_std,
        float[batch, 1] engagement_low, float[batch, 1] engagement_high,
        float[batch, 1] z_mean, float[batch, 1] z_std,
        float[batch, 2] surprise, float[batch, 1] next_state_sum)
    <float[2, 1] of_role = {0.25, 0.1}, float[2, 1] of_face = {0.1, 0.0}, float[2, 1] there = {0.0, 1.0},
     float[1] hundredth = {0.01}, float zero = {0.0}, float half = {0.5}>
{
    seen = MatMul(mask, of_face)
    any = MatMul(role, of_role)
    said = Clip(any, zero, half)
    is_there = MatMul(mask, there)
    added = Mul(said, is_there)
    engagement_mean = Add(seen, added)
    next_state_sum = Add(state_sum, added)
    spread = Mul(next_state_sum, hundredth)
    engagement_std = Clip(spread, zero, half)
    engagement_low = Identity(engagement_mean)
    engagement_high = Identity(engagement_mean)
    z_mean = Identity(engagement_mean)
    z_std = Exp(engagement_mean)
    mean_face = ReduceMean <axes = [1]> (face)
    mean_role = ReduceMean <axes = [1]> (role)
    surprise = Concat <axis = 1> (mean_face, mean_role)
}
"""


@pytest.fixture(scope="module")
def arithmetic(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle whose estimates show which context it was given, and at how many ticks."""
    model = onnx.parser.parse_model(GRAPH)
    for weights in model.graph.initializer:  # a bundle has them as bytes
        weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights), weights.name))
    metadata = msgspec.structs.replace(
        read_metadata(tiny_bundle.read_bytes(), "tiny"),
        modalities=(
            ModalitySpec("face", "observed", FACE.dim, "laplace", FACE.name),
            ModalitySpec("role", "context", 2, "laplace"),
            ModalitySpec("engagement", "target", 1, "beta"),
        ),
        states=(StateSpec("sum", (1,), 0.0),),
        latents=(LatentSpec("z", 1),),
        sha256=digest(model.SerializeToString()),
    )
    onnx.helper.set_model_props(model, {KEY: msgspec.json.encode(metadata).decode()})
    path = tmp_path_factory.mktemp("arithmetic") / "bundle.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """An MM-VRNN that takes a role, not trained."""
    import torch

    from enrapt.export.write import describe, graph_of, with_metadata
    from enrapt.models.config import build, load_config
    from enrapt.models.mm_vrnn import MMVRNNConfig
    from enrapt.models.modality import Modality

    target = Modality("engagement", 1, "target", "logit_normal", 100.0)
    modalities = (Modality("role", 2, "context"), Modality("face", 57, schema="face/1"), target)
    config = load_config("default")
    config = msgspec.structs.replace(config, model=MMVRNNConfig(modalities, hidden=16, latent=4))
    torch.manual_seed(1)
    model = build(config.model).eval()
    graph = graph_of(model, "step")
    path = tmp_path_factory.mktemp("learned") / "bundle.onnx"
    path.write_bytes(with_metadata(graph, describe(config, model, "step", 0, digest(graph))))
    return path


@pytest.fixture(params=["arithmetic", pytest.param("learned", marks=pytest.mark.long)])
def bundle(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def untimed(estimates):
    return [estimate.without_timing() for estimate in estimates]


def first_ticks(session):
    estimates = []
    with session:
        for estimate in session:
            estimates.append(estimate)
            if len(estimates) == TICKS:
                break
    return estimates


def stepped(path, observations, context):
    """The estimates of these observations by an engine of their own."""
    engine = Engine(Bundle.load(path))
    context = {name: np.array(values, np.float32) for name, values in context.items()}
    return [
        estimate_of(o, engine.step(o.values | context), Latency(0.0)).without_timing() for o in observations
    ]


def test_a_session_gives_what_the_engine_does_and_so_does_its_replay(bundle, server, face_model, tmp_path):
    folder = tmp_path / "session"
    session = LiveSession(
        server.address,
        None,
        bundle=bundle,
        context={"role": ROLE},
        faces=FaceOptions(face_model),
        record=folder,
    )
    estimates = untimed(first_ticks(session))
    assert [e.tick for e in estimates] == list(range(TICKS))
    reader = SessionReader(folder)
    observations = list(reader.observations())
    assert estimates == stepped(bundle, observations, {"role": ROLE})
    for other in ({}, {"role": (0.0, 1.0)}):
        without = stepped(bundle, observations, other)
        assert all(a.engagement != b.engagement for a, b in zip(estimates, without, strict=True))
    with Run(folder, bundle) as run:
        assert untimed(run) == estimates
    with Run(SessionSource(folder, reassemble=True), bundle) as run:
        # No picture has a face.
        assert [e.engagement for e in run] == [e.engagement for e in estimates]
    with Run(folder, bundle, context={"role": (0.0, 1.0)}) as run:
        assert all(a.engagement != b.engagement for a, b in zip(run, estimates, strict=True))


class EveryOther(FakeDevice):
    """Sees in every other picture a face that is unlike any other's."""

    pictures = 0

    @property
    def _values(self):
        self.pictures += 1
        rng = np.random.default_rng(self.pictures)
        return None if self.pictures % 2 else rng.normal(size=FACE.dim).astype(np.float32)

    @_values.setter
    def _values(self, values):
        pass


def test_it_reaches_the_model_at_every_tick_with_and_without_a_face(arithmetic):
    observations, estimates = [], []
    with Run(LiveSource([EveryOther(every_ms=40.0)]), arithmetic, context={"role": ROLE}) as run:
        for estimate in itertools.islice(run, TICKS):
            observations.append(run.observation)
            estimates.append(estimate)
    assert untimed(estimates) == stepped(arithmetic, observations, {"role": ROLE})
    assert {e.present["face"] for e in estimates} == {True, False}
    assert [e.engagement.mean for e in estimates] == [
        round(EXPECTED + 0.1 * e.present["face"], 4) for e in estimates
    ]
    assert [e.engagement.std for e in estimates] == pytest.approx(
        [EXPECTED * (n + 1) / 100 for n in range(TICKS)], abs=1e-4
    )


def test_a_recording_takes_it_too(arithmetic, face_model):
    source = MediaSource(CLIP, end=0.6, faces=FaceOptions(face_model))
    with Run(source, arithmetic, context={"role": ROLE}) as run:
        assert {round(e.engagement.mean - 0.1 * e.present["face"], 4) for e in run} == {EXPECTED}


def test_the_commands_take_it(arithmetic, server, face_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--bundle", str(arithmetic), "--camera", server.address, "--face-model", str(face_model)]
    role = "role=" + ",".join(map(str, ROLE))
    command = ["record", "session", *arguments, "--context", role, "--duration", "0.4"]
    assert main([*command, "--to", "jsonl:live.jsonl"]) == 0
    assert SessionReader(tmp_path / "session").description["context"] == {"role": list(ROLE)}
    assert main(["replay", "session", "--bundle", str(arithmetic), "--to", "jsonl:again.jsonl"]) == 0
    live, again = (
        [msgspec.json.decode(line) for line in (tmp_path / name).read_bytes().splitlines()]
        for name in ("live.jsonl", "again.jsonl")
    )
    assert [e["engagement"]["mean"] for e in live] == [EXPECTED] * 11
    assert [e["engagement"] for e in again] == [e["engagement"] for e in live]


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"mood": [1.0]}, "no context 'mood'"),
        ({"face": [1.0] * FACE.dim}, "no context 'face'"),
        *(
            ({"role": numbers}, "context role: give 2 numbers, not")
            for numbers in (
                [],
                [1.0],
                [1.0, 2.0, 3.0],
                [[1.0, 2.0]],
                ["listener", "speaker"],
                [None, 1.0],
                [float("nan"), 0.0],
                [float("inf"), 0.0],
            )
        ),
    ],
)
def test_values_that_are_no_context_of_the_bundle_are_refused(context, said, arithmetic):
    with pytest.raises(UserError, match=said) as raised:
        Run(LiveSource([FakeDevice()]), arithmetic, context=context).__enter__()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("given", ["role", "role=", "role=listener", "role=1;2", "role=1,,2"])
def test_the_command_refuses_what_is_not_numbers(given, arithmetic, face_model, capsys):
    arguments = ["--bundle", str(arithmetic), "--face-model", str(face_model), "--context", given]
    assert main(["live", *arguments]) == 2
    assert capsys.readouterr() == ("", f"enrapt: --context {given}: give NAME=X or NAME=X,Y,…\n")


def test_the_command_refuses_the_context_of_another_bundle(arithmetic, server, face_model, capsys):
    arguments = ["--bundle", str(arithmetic), "--camera", server.address, "--face-model", str(face_model)]
    assert main(["live", *arguments, "--context", "mood=1"]) == 2
    assert capsys.readouterr() == ("", "enrapt: the bundle has no context 'mood'; it has role\n")
