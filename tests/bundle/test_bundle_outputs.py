"""What a bundle's graph gives is checked when it is loaded, and at every step."""

import itertools
import os
import subprocess
import sys

import msgspec
import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_node, make_tensor_value_info

from enrapt.bundle import interface
from enrapt.bundle.bundle import Bundle
from enrapt.bundle.interface import SLACK, wrong_estimate
from enrapt.bundle.metadata import KEY, digest
from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.engine import Engine

FLOAT = onnx.TensorProto.FLOAT


@pytest.fixture
def load(tiny_bundle, tmp_path):
    """Loads the tiny bundle with nodes between one of its outputs, `before`, and that output's name."""

    def load(output, *nodes, **constants):
        model = onnx.load(tiny_bundle)
        description = msgspec.json.decode(model.metadata_props[0].value)
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = ["before" if name == output else name for name in names]
        model.graph.node.extend(nodes)
        for name, value in constants.items():
            kind = np.int64 if isinstance(value, list) else np.float32
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, kind), name))
        del model.metadata_props[:]
        description["sha256"] = digest(model.SerializeToString())
        model.metadata_props.add(key=KEY, value=msgspec.json.encode(description).decode())
        path = tmp_path / "b.onnx"
        path.write_bytes(model.SerializeToString())
        return Bundle.load(path)

    return load


@pytest.mark.parametrize(
    ("output", "operator", "constant", "message"),
    [
        ("engagement_mean", "Mul", 1000.0, "'engagement_mean' is .*, not within 0 and 1"),
        ("engagement_mean", "Sub", 1.0, "'engagement_mean' is -"),
        ("engagement_std", "Mul", -1.0, "'engagement_std' is -"),
        ("engagement_std", "Add", 0.9, "'engagement_std' is 0.9"),
        ("engagement_low", "Add", 0.25, "'engagement_low' is .*, above 'engagement_high'"),
        ("engagement_high", "Add", 0.5, "'engagement_high' is 1"),
        ("z_std", "Mul", 0.0, "'z_std' is 0, not above 0"),
        ("surprise", "Pow", 40.0, "'surprise' is NaN or infinite"),  # for large inputs only
        ("next_state_ticks", "Mul", 2.0, "'next_state_ticks' is NaN or infinite"),  # after 128 ticks
    ],
)
def test_outputs_that_cannot_be_estimates_are_refused_in_one_line(load, output, operator, constant, message):
    with pytest.raises(UserError, match=message) as error:
        load(output, make_node(operator, ["before", "constant"], [output]), constant=constant)
    assert str(error.value).isprintable()


def test_what_is_wrong_for_small_values_only_is_found(load):
    """The square root of a negative number, where no value of the face exceeds 1.5."""
    nodes = [
        make_node("ReduceMax", ["face"], ["highest"], keepdims=0),
        make_node("Sub", ["highest", "limit"], ["margin"]),
        make_node("Sqrt", ["margin"], ["root"]),
        make_node("Mul", ["root", "zero"], ["nothing"]),
        make_node("Add", ["before", "nothing"], ["engagement_mean"]),
    ]
    with pytest.raises(UserError, match="'engagement_mean' is NaN"):
        load("engagement_mean", *nodes, limit=1.5, zero=0.0)


def added(name):
    return make_node("Add", ["before", name], ["engagement_mean"])


def test_a_graph_that_takes_more_memory_than_there_is_for_it_is_refused(load):
    nodes = [
        make_node("ConstantOfShape", ["shape"], ["huge"]),
        make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
    ]
    with pytest.raises(UserError, match="its graph cannot run"):
        load("engagement_mean", *nodes, added("sum"), shape=[50_000, 50_000])


def scan(inner=None):
    """A Scan over `rows` that sums them; or one in which each step is another Scan."""
    value = [make_tensor_value_info(name, FLOAT, [1]) for name in ("sum", "row", "next", "out")]
    node = make_node("Add", ["sum", "row"], ["next"]) if inner is None else inner
    nodes = [node, make_node("Identity", ["next"], ["out"])]
    return make_graph(nodes, "body", value[:2], value[2:])


def test_a_graph_that_takes_too_long_is_ended(load, monkeypatch):
    monkeypatch.setattr(interface, "_LONGEST", 0.3)
    nodes = [
        make_node("ConstantOfShape", ["shape"], ["rows"]),
        make_node("Scan", ["start", "rows"], ["sum", "rest"], num_scan_inputs=1, body=scan()),
    ]
    with pytest.raises(UserError, match=r"220 ticks take more than 0\.3 s"):
        load("engagement_mean", *nodes, added("sum"), shape=[10_000_000, 1], start=np.zeros(1))


def test_too_many_operators_scans_in_scans_and_random_numbers_are_refused(load):
    chain = ["before", *(f"a{k}" for k in range(5000)), "engagement_mean"]
    nodes = [make_node("Identity", [a], [b]) for a, b in itertools.pairwise(chain)]
    with pytest.raises(UserError, match="operators, more than 5000"):
        load("engagement_mean", *nodes)
    body = scan()
    for _ in range(5):
        body = scan(make_node("Scan", ["sum", "row"], ["next", "out"], num_scan_inputs=1, body=body))
    node = make_node("Scan", ["start", "rows"], ["sum", "rest"], num_scan_inputs=1, body=body)
    with pytest.raises(UserError, match="more than 4 Scans in each other"):
        load("engagement_mean", node, added("sum"))
    with pytest.raises(UserError, match="'RandomUniformLike' draws random numbers"):
        load("engagement_mean", make_node("RandomUniformLike", ["before"], ["engagement_mean"]))


def test_a_distribution_on_0_to_1_may_be_skewed_but_not_turned_round():
    assert not wrong_estimate(0.02, 0.1, 0.0, 0.004)  # nearly all near 0, and a little near 1
    assert not wrong_estimate(1 + SLACK / 2, 0, 1, 1)
    assert "low" in wrong_estimate(0.5, 0.1, 0.6, 0.4)
    for row in ((np.nan, 0.1, 0.4, 0.6), (0.5, np.inf, 0.4, 0.6), (0.5, 0.1, -1, 0.6), (0.5, 0.6, 0.4, 0.6)):
        assert wrong_estimate(*row)


def test_what_is_wrong_later_ends_a_step_in_one_line(load):
    """After 801 ticks the mean is above 1."""
    node = make_node("Sum", ["state_ticks"], ["since"])
    nodes = [node, make_node("Div", ["since", "many"], ["more"]), added("more")]
    engine = Engine(load("engagement_mean", *nodes, many=1000.0))
    for _ in range(801):
        engine.step({})
    with pytest.raises(UserError, match="'engagement_mean' is 1"):
        engine.step({})


def test_values_beyond_any_unit_are_clipped(load):
    face = {"face": np.full(57, 3e38, np.float32)}
    for name in ("default", "mdvae"):
        engine = Engine(Bundle.load(name))
        for _ in range(3):
            step = engine.step(face)
            assert np.isfinite(step.surprise["face"])


def test_reading_a_description_leaves_memory_intact():
    """msgspec 0.22 corrupts it for some unions; checks of the allocator show this at the end."""
    program = "from enrapt.bundle.bundle import Bundle; Bundle.load('default')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONMALLOC": "debug"}, check=False
    )
    assert done.returncode == 0
