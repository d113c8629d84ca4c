"""A bundle that takes a context: what it is given reaches the model at every tick of a live session."""

import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import KEY, LatentSpec, ModalitySpec, StateSpec, digest, read_metadata
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime import LiveSession
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import Latency, estimate_of
from enrapt.realtime.sources.camera import Camera
from enrapt.realtime.sources.live import LiveLoop
from enrapt.realtime.sources.session_replay import SessionReplay
from enrapt.realtime.store.reader import SessionReader
from tests.support.mjpeg import Server

ROLE = (0.5, 1.25)
TOLD = 0.25  # what the graph below makes of it
TICKS = 15

# Mean 0.1 with a face, and TOLD with the role of above; the standard deviation is a hundredth of what the
# role has told since the start.
GRAPH = """
<ir_version: 9, opset_import: ["": 17]>
role (float[batch, 57] face, float[batch, 2] role, float[batch, 2] mask, float[batch, 1] state_sum)
    => (float[batch, 1] engagement_mean, float[batch, 1] engagement_std,
        float[batch, 1] engagement_low, float[batch, 1] engagement_high,
        float[batch, 1] z_mean, float[batch, 1] z_std,
        float[batch, 2] surprise, float[batch, 1] next_state_sum)
    <float[2, 1] of_role = {0.25, 0.1}, float[2, 1] of_face = {0.1, 0.0}, float[2, 1] there = {0.0, 1.0},
     float[1] hundredth = {0.01}>
{
    seen = MatMul(mask, of_face)
    said = MatMul(role, of_role)
    is_there = MatMul(mask, there)
    told = Mul(said, is_there)
    engagement_mean = Add(seen, told)
    next_state_sum = Add(state_sum, told)
    engagement_std = Mul(next_state_sum, hundredth)
    engagement_low = Identity(engagement_mean)
    engagement_high = Identity(engagement_mean)
    z_mean = Identity(engagement_mean)
    z_std = Identity(engagement_std)
    mean_face = ReduceMean <axes = [1]> (face)
    mean_role = ReduceMean <axes = [1]> (role)
    surprise = Concat <axis = 1> (mean_face, mean_role)
}
"""


@pytest.fixture(scope="module")
def arithmetic(tiny_bundle, tmp_path_factory) -> Path:
    """A bundle whose estimates tell which context it was given, and at how many ticks."""
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
        estimate_of(o, engine.step(o.values | context), Latency(None, 0.0, None)).without_timing()
        for o in observations
    ]


def test_a_session_gives_what_the_engine_does_and_so_does_its_replay(bundle, server, face_model, tmp_path):
    folder = tmp_path / "session"
    session = LiveSession(
        server.address, None, bundle=bundle, context={"role": ROLE}, face_model=face_model, record=folder
    )
    told = untimed(first_ticks(session))
    assert [e.tick for e in told] == list(range(TICKS))
    reader = SessionReader(folder)
    observations = list(reader.observations())
    assert told == stepped(bundle, observations, {"role": ROLE})
    for other in ({}, {"role": (0.0, 1.0)}):
        without = stepped(bundle, observations, other)
        assert all(a.engagement != b.engagement for a, b in zip(told, without, strict=True))
    assert untimed(SessionReplay(reader, Engine(Bundle.load(bundle)))) == told
    reassembled = untimed(SessionReplay(reader, Engine(Bundle.load(bundle)), reassemble=True))
    assert [e.engagement for e in reassembled] == [e.engagement for e in told]  # no picture has a face


class Face:
    """Sees in every other picture a face that is unlike any other's."""

    def __init__(self):
        self.pictures = 0

    def extract(self, frame):
        self.pictures += 1
        if self.pictures % 2:
            return None
        return np.random.default_rng(self.pictures).normal(size=FACE.dim).astype(np.float32)


class Recorder:
    def __init__(self):
        self.observations = []

    def sample(self, sample, arrived):
        pass

    def observation(self, observation):
        self.observations.append(observation)

    def estimate(self, estimate):
        pass


def test_it_reaches_the_model_at_every_tick_with_and_without_a_face(arithmetic, server):
    clock, recorder = time.monotonic_ns, Recorder()
    with Camera(server.address, clock) as camera:
        loop = LiveLoop(
            Engine(Bundle.load(arithmetic)),
            clock,
            camera=camera,
            face=Face(),
            context={"role": ROLE},
            listener=recorder,
        )
        told = first_ticks(loop)
    assert untimed(told) == stepped(arithmetic, recorder.observations, {"role": ROLE})
    assert {e.present["face"] for e in told} == {True, False}
    assert [e.engagement.mean for e in told] == [round(TOLD + 0.1 * e.present["face"], 4) for e in told]
    assert [e.engagement.std for e in told] == pytest.approx(
        [TOLD * (n + 1) / 100 for n in range(TICKS)], abs=1e-4
    )


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
    assert [e["engagement"]["mean"] for e in live] == [TOLD] * 11
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
def test_what_is_no_context_of_the_bundle_is_told_at_construction(context, said, arithmetic):
    engine, clock = Engine(Bundle.load(arithmetic)), time.monotonic_ns
    with pytest.raises(UserError, match=said) as raised:
        LiveLoop(engine, clock, camera=object(), face=Face(), context=context)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("given", ["role", "role=", "role=listener", "role=1;2", "role=1,,2"])
def test_what_is_not_numbers_is_told_by_the_command(given, arithmetic, face_model, capsys):
    arguments = ["--bundle", str(arithmetic), "--face-model", str(face_model), "--context", given]
    assert main(["live", *arguments]) == 2
    assert capsys.readouterr() == ("", f"enrapt: --context {given}: give NAME=X or NAME=X,Y,…\n")


def test_another_bundles_context_is_told_by_the_command(arithmetic, server, face_model, capsys):
    arguments = ["--bundle", str(arithmetic), "--camera", server.address, "--face-model", str(face_model)]
    assert main(["live", *arguments, "--context", "mood=1"]) == 2
    assert capsys.readouterr() == ("", "enrapt: the bundle has no context 'mood'\n")
