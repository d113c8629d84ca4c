"""Bundles altered at random or one field at a time, with the digest corrected.

The result is a bundle that loads and gives finite numbers, or a one-line error, within a second.
"""

import random
import time

import msgspec
import numpy as np
import onnx
import pytest

from enrapt.bundle.bundle import Bundle, find_bundle
from enrapt.bundle.metadata import KEY, digest
from enrapt.bundle.protobuf import fields
from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.engine import Engine

HOSTILE = (
    None, True, -1, 0, 1, 3, 10**6, 10**30, 1e30, -0.5, "", "x" * 10**5, "two\nlines", "\x1b[2J", "mask",
    "a" * 64, [], [1, 10**9], ["x"] * 1000, {}, {"a": {"b": []}},
)  # fmt: skip


def outcome(data: bytes, path) -> str:
    """`loaded`, after finite numbers, or the error."""
    path.write_bytes(data)
    began = time.process_time()
    try:
        bundle = Bundle.load(path)
        if bundle.metadata.graph == "step":
            step_through(bundle)
        return "loaded"
    except UserError as error:
        reason = str(error)
        assert reason.startswith(f"{path}: ")
        assert reason.isprintable()
        assert len(reason) < 500 + len(str(path))
        return reason.removeprefix(f"{path}: ")
    finally:
        assert time.process_time() - began < 1


def step_through(bundle: Bundle) -> None:
    engine = Engine(bundle)
    rng = np.random.default_rng(1)
    for missing in (None, 0, -1, None):
        values = {m.name: 5 * rng.standard_normal(m.dim, np.float32) for m in bundle.metadata.inputs}
        if missing is not None:
            values[engine.inputs[missing]] = None
        step = engine.step(values)
        surprise = [nats for nats in step.surprise.values() if nats is not None]
        assert np.isfinite([*step[:4], *surprise]).all()


def halves(path) -> tuple[bytes, bytes]:
    """The graph, and the JSON that describes it."""
    whole = path.read_bytes()
    graph = b"".join(f.whole for f in fields(memoryview(whole)) if f.number != 14)
    return graph, onnx.load(path).metadata_props[0].value.encode()


def described(graph: bytes, text: bytes) -> bytes:
    """The graph with that JSON as description, its digest corrected if it has one."""
    try:
        description = msgspec.json.decode(text)
        description["sha256"] = digest(graph)
        text = msgspec.json.encode(description)
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError):
        pass  # no longer JSON, or the graph is not a message
    entry = b"".join(tagged(number, part) for number, part in ((1, KEY.encode()), (2, text)))
    return graph + tagged(14, entry)


def tagged(number: int, content: bytes) -> bytes:
    """A length-delimited Protocol Buffers field."""
    length, rest = [], len(content)
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([number << 3 | 2, *length, rest]) + content


def altered(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, or a range of bytes removed, repeated or overwritten."""
    changed = bytearray(data)
    at = rng.randrange(len(changed))
    end = min(len(changed), at + rng.choice((1, 2, 4, 30, 300)))
    match rng.randrange(8):
        case 0:
            del changed[at:end]
        case 1:
            changed[at:at] = changed[at:end]
        case 2:
            changed[at:end] = rng.randbytes(end - at)
        case 3:
            changed[at] = rng.choice((0, 0x7F, 0x80, 0xFF))
        case _:
            for _ in range(rng.choice((1, 1, 1, 3))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def test_a_description_written_again_is_the_same(tiny_bundle):
    assert described(*halves(tiny_bundle)) == tiny_bundle.read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_a_graph_altered_at_random(tiny_bundle, tmp_path, seed):
    graph, text = halves(tiny_bundle)
    rng = random.Random(seed)
    outcomes = [outcome(described(altered(graph, rng), text), tmp_path / "b.onnx") for _ in range(150)]
    assert 0 < outcomes.count("loaded") < 100  # both outcomes occur


def test_a_description_altered_at_random(tiny_bundle, tmp_path):
    graph, text = halves(tiny_bundle)
    rng = random.Random(0)
    outcomes = [outcome(described(graph, altered(text, rng)), tmp_path / "b.onnx") for _ in range(300)]
    assert 0 < outcomes.count("loaded") < 200


def test_hostile_values_in_every_field_of_the_description(tiny_bundle, tmp_path):
    graph, text = halves(tiny_bundle)
    loaded = set()
    for where in places(msgspec.json.decode(text)):
        for value in HOSTILE:
            description = msgspec.json.decode(text)
            *way, last = where
            inner = description
            for key in way:
                inner = inner[key]
            inner[last] = value
            if outcome(described(graph, msgspec.json.encode(description)), tmp_path / "b.onnx") == "loaded":
                loaded.add((".".join(map(str, where)), repr(value)[:20]))
    # Free fields are informative or bounded; the graph does not depend on them.
    for where in ("bundle_version", "modalities.0.dim", "modalities.1.name", "states.0.name"):
        assert not {value for field, value in loaded if field == where} - {"1"}


def places(value, *where):
    """The path of every value in a JSON text, containers included."""
    if where:
        yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, *where, key)


@pytest.mark.parametrize(
    "text", [b"[" * 10**5, b'{"config":' * 10**5, b'{"bundle_version":1e999}', b"\xff", b"", b"null"]
)
def test_a_description_that_is_not_json_or_too_deep(tiny_bundle, tmp_path, text):
    assert "description is damaged" in outcome(described(halves(tiny_bundle)[0], text), tmp_path / "b.onnx")


@pytest.mark.parametrize("name", ["default", "mdvae", "turns"])
def test_a_shipped_bundle_altered_at_random(name, tmp_path):
    """Nearly all bytes are weights: a flipped exponent bit gives a weight of 10^38, which is finite."""
    graph, text = halves(find_bundle(name))
    rng = random.Random(0)
    for _ in range(25):
        outcome(described(altered(graph, rng), text), tmp_path / "b.onnx")
