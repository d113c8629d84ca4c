import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import schemathesis
from prometheus_client.parser import text_string_to_metric_families

from enrapt.realtime.page import app
from tests.support.served import RATE, ask, listen, port_of, tick, until

PATHS = ("/", "/health", "/estimate", "/history", "/metrics", "/openapi.json")


def run(server, n=3):
    """Tell it `n` ticks."""
    for k in range(n):
        server.write(*tick(k))
        if k % 1000 == 999:  # faster than any run
            until(lambda: server.counts.waiting == 0)
    until(lambda: server.counts.waiting == 0)


def test_health_is_that_estimates_come(server, monkeypatch):
    status, _, content = ask(server, "/health")
    assert (status, json.loads(content)) == (
        503,
        {"status": "starting", "ticks": 0, "age_s": None, "clients": 0},
    )
    with listen(server, "/ws"):
        run(server)
        status, _, content = ask(server, "/health")
        told = json.loads(content)
        assert 0 <= told.pop("age_s") < 2
        assert (status, told) == (200, {"status": "ok", "ticks": 3, "clients": 1})
    monkeypatch.setattr(app, "STALLED", 0.05)
    until(lambda: ask(server, "/health")[0] == 503)
    assert json.loads(ask(server, "/health")[2])["status"] == "stalled"
    server.write(*tick(3))
    until(lambda: ask(server, "/health")[0] == 200 or server.write(*tick(4)) is not None)


def test_the_newest_estimate_is_as_in_a_line_of_json(server):
    status, _, content = ask(server, "/estimate")
    assert (status, json.loads(content)) == (404, {"error": "there is no estimate yet"})
    run(server)
    assert ask(server, "/estimate")[2] == msgspec.json.encode(tick(2)[0])


def test_history_is_of_the_last_minute(server):
    assert json.loads(ask(server, "/history")[2]) == {
        "t": [],
        "mean": [],
        "low": [],
        "high": [],
        "present": {},
    }
    run(server, 200 * RATE)
    told = json.loads(ask(server, "/history")[2])
    n = 60 * RATE + 1
    assert told["t"] == [k / RATE for k in range(200 * RATE - n, 200 * RATE)]
    assert (told["mean"], told["low"], told["high"]) == ([0.6] * n, [0.47] * n, [0.74] * n)
    assert told["present"] == {"face": [1] * n, "audio": [0] * n}


def test_history_is_of_a_whole_replay(server):
    server.hello({"kind": "replay"})
    run(server, 100 * RATE)
    assert len(json.loads(ask(server, "/history")[2])["t"]) == 100 * RATE


STATUS = {
    "drops": {"face": {"superseded": 3, "expired": 0}},
    "latency_ms": {"step": {"p50": 0.25, "p95": 0.5, "p99": 1.0}, "tick": {"p50": None}},
    "outputs": {'osc://h:1/a"b\\\n': {"captured": 9, "used": 7, "dropped": {"full": 2}}},
}


def test_metrics_say_everything_exactly(server):
    server.status(STATUS)
    with listen(server, "/ws"):
        run(server, 4)
        samples = strictly(ask(server, "/metrics")[2].decode())
    assert 0 <= samples.pop(("enrapt_estimate_age_seconds", ())) < 2
    sums = {
        stage: 4 * ms / 1000
        for stage, ms in [("extract face", 5), ("step", 0.25), ("total", 20), ("tick", 3)]
    }
    latency = {}
    for stage, total in {**sums, "wait for face": 0.004}.items():
        latency[("enrapt_latency_seconds_sum", (("stage", stage),))] = pytest.approx(total)
        latency[("enrapt_latency_seconds_count", (("stage", stage),))] = 4
    for quantile, value in (("0.5", 0.00025), ("0.95", 0.0005), ("0.99", 0.001)):
        latency[("enrapt_latency_seconds", (("quantile", quantile), ("stage", "step")))] = value
    output = ("output", 'osc://h:1/a"b\\\n')
    assert samples == latency | {
        ("enrapt_engagement_mean", ()): 0.6,
        ("enrapt_engagement_low", ()): 0.47,
        ("enrapt_engagement_high", ()): 0.74,
        ("enrapt_ticks_total", ()): 4,
        ("enrapt_present", (("modality", "face"),)): 1,
        ("enrapt_present", (("modality", "audio"),)): 0,
        ("enrapt_value_age_seconds", (("modality", "face"),)): 0.012,
        ("enrapt_dropped_total", (("modality", "face"), ("reason", "superseded"))): 3,
        ("enrapt_dropped_total", (("modality", "face"), ("reason", "expired"))): 0,
        ("enrapt_output_used_total", (output,)): 7,
        ("enrapt_output_dropped_total", (output, ("reason", "full"))): 2,
        ("enrapt_clients", (("path", "/ws"),)): 1,
        ("enrapt_clients", (("path", "/page"),)): 0,
    }


def test_metrics_before_the_first_tick_are_of_the_server_only(server):
    samples = strictly(ask(server, "/metrics")[2].decode())
    assert samples == {
        ("enrapt_ticks_total", ()): 0,
        ("enrapt_clients", (("path", "/ws"),)): 0,
        ("enrapt_clients", (("path", "/page"),)): 0,
    }


def test_prometheus_own_parser_reads_the_metrics(server):
    server.status(STATUS)
    run(server)
    text = ask(server, "/metrics")[2].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["enrapt_ticks"].type == "counter"
    assert families["enrapt_latency_seconds"].type == "summary"
    assert sum(len(family.samples) for family in families.values()) == len(strictly(text))


_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)+)\})? (\S+)')
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def strictly(text):
    """Value by name and labels, of the text format 0.0.4 as promtool would have it: every family once, in one
    piece, with help and type before its samples, no sample twice, counters named so and not negative."""
    assert text.endswith("\n")
    samples, kinds, name = {}, {}, ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            name = re.fullmatch(r"# HELP (enrapt_[a-z_]+) \S.*", line)[1]
            assert name not in kinds
            kinds[name] = re.fullmatch(rf"# TYPE {name} (gauge|counter|summary)", next(lines))[1]
            assert (kinds[name] == "counter") == name.endswith("_total")
            continue
        series, labels, value = _SAMPLE.fullmatch(line).groups()
        suffixes = ("", "_sum", "_count") if kinds[name] == "summary" else ("",)
        assert series in {name + suffix for suffix in suffixes}
        pairs = [(label, _plain(said)) for label, said in _LABEL.findall(labels or "")]
        assert labels is None or len(labels.rstrip(",")) == len(
            ",".join(m[0] for m in _LABEL.finditer(labels))
        )
        key = series, tuple(sorted(pairs))
        assert key not in samples
        samples[key] = float(value)
        assert kinds[name] == "gauge" or samples[key] >= 0
    assert all(any(series.startswith(name) for series, _ in samples) for name in kinds)
    return samples


def _plain(said):
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], said)


def test_the_openapi_description_is_true_of_every_state(server):
    where = f"http://127.0.0.1:{port_of(server)}"
    description = schemathesis.openapi.from_url(f"{where}/openapi.json")
    asked = {"/openapi.json"}  # which schemathesis leaves out
    for _ in range(2):  # before the first tick, and after it
        for operation in description.get_all_operations():
            case = operation.ok().Case()
            asked.add(case.operation.path)
            case.call_and_validate(base_url=where, excluded_checks=[schemathesis.checks.not_a_server_error])
        run(server)
    assert asked == set(PATHS)


def test_the_openapi_description_holds_whatever_is_asked(server):
    """Also what is not allowed."""
    ended = threading.Event()

    def tell():
        k = 0
        while not ended.wait(0.04):
            server.write(*tick(k))
            k += 1

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        until(lambda: ask(server, "/health")[0] == 200)
        command = Path(sys.executable).with_name("schemathesis")
        options = ["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1"]
        done = subprocess.run(
            [command, "run", f"{server.address}openapi.json", *options], capture_output=True, text=True
        )
    finally:
        ended.set()
        telling.join()
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout


@pytest.mark.parametrize("path", [*PATHS, "/no-such-thing"])
def test_every_answer_keeps_what_is_not_ours_out(server, path):
    headers = ask(server, path)[1]
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_changed_over_http(server, path, method):
    assert ask(server, path, method)[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/%2e%2e/app.py",
        "/..%2fapp.py",
        "/page/index.html",
        "/health/",
        "//etc/passwd",
        "/app.py",
    ],
)
def test_of_files_only_the_pages_are_served(server, path):
    assert ask(server, path)[0] == 404


def test_the_page_asks_for_nothing_from_elsewhere(server):
    content = ask(server, "/")[2].decode()
    assert "enrapt" in content
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", content)
