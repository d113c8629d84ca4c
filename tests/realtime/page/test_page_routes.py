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
from enrapt.realtime.statistics import stages
from tests.support.served import RATE, FakeRun, observed, port_of, request, tick, wait_until, websocket

pytestmark = pytest.mark.live

PATHS = ("/", "/health", "/estimate", "/history", "/metrics", "/openapi.json")


def write(server, n=3):
    """Write `n` ticks, and wait until the server has processed them."""
    for k in range(n):
        server.write(*tick(k))
        if k % 1000 == 999:  # faster than any run
            wait_until(lambda: server.counts.waiting == 0)
    wait_until(lambda: json.loads(request(server, "/health")[2])["ticks"] == server.counts.captured)


def test_health_depends_on_the_age_of_the_newest_estimate(threaded, monkeypatch):
    status, _, content = request(threaded, "/health")
    assert (status, json.loads(content)) == (
        503,
        {"status": "starting", "ticks": 0, "age_s": None, "clients": 0},
    )
    with websocket(threaded, "/ws"):
        write(threaded)
        status, _, content = request(threaded, "/health")
        health = json.loads(content)
        assert 0 <= health.pop("age_s") < 2
        assert (status, health) == (200, {"status": "ok", "ticks": 3, "clients": 1})
    monkeypatch.setattr(app, "STALLED", 0.05)
    wait_until(lambda: request(threaded, "/health")[0] == 503)
    assert json.loads(request(threaded, "/health")[2])["status"] == "stalled"
    threaded.write(*tick(3))
    wait_until(lambda: request(threaded, "/health")[0] == 200 or threaded.write(*tick(4)) is not None)


def test_estimate_is_the_newest_as_in_json_lines(server):
    status, _, content = request(server, "/estimate")
    assert (status, json.loads(content)) == (404, {"error": "there is no estimate yet"})
    write(server)
    assert request(server, "/estimate")[2] == msgspec.json.encode(tick(2)[0])


def test_history_has_the_last_minute(server):
    assert json.loads(request(server, "/history")[2]) == {
        "t": [],
        "mean": [],
        "low": [],
        "high": [],
        "present": {},
    }
    write(server, 200 * RATE)
    history = json.loads(request(server, "/history")[2])
    n = 60 * RATE + 1
    assert history["t"] == [k / RATE for k in range(200 * RATE - n, 200 * RATE)]
    assert (history["mean"], history["low"], history["high"]) == ([0.6] * n, [0.47] * n, [0.74] * n)
    assert history["present"] == {"face": [1] * n, "audio": [0] * n}


def test_history_has_a_whole_replay(server):
    observed(server, kind="replay")
    write(server, 100 * RATE)
    assert len(json.loads(request(server, "/history")[2])["t"]) == 100 * RATE


STATUS = {
    "drops": {"face": {"superseded": 3, "expired": 0}},
    "latency_ms": {"step": {"p50": 0.25, "p95": 0.5, "p99": 1.0}, "tick": {"p50": None}},
    "outputs": {'osc://h:1/a"b\\\n': {"captured": 9, "used": 7, "dropped": {"full": 2}}},
}


def observe(server):
    """A run with that status."""
    run = FakeRun()
    run.state |= STATUS
    server.observe(run)


def test_metrics_are_exact(server):
    observe(server)
    with websocket(server, "/ws"):
        write(server, 4)
        samples = strictly(request(server, "/metrics")[2].decode())
    assert 0 <= samples.pop(("enrapt_estimate_age_seconds", ())) < 2
    latency = {}
    for stage, total in ((stage, 4 * ms / 1000) for stage, ms in stages(tick(0)[0].latency_ms)):
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


def test_metrics_before_the_first_tick(server):
    samples = strictly(request(server, "/metrics")[2].decode())
    assert samples == {
        ("enrapt_ticks_total", ()): 0,
        ("enrapt_clients", (("path", "/ws"),)): 0,
        ("enrapt_clients", (("path", "/page"),)): 0,
    }


def test_metrics_are_parsed_by_the_prometheus_client(server):
    observe(server)
    write(server)
    text = request(server, "/metrics")[2].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["enrapt_ticks"].type == "counter"
    assert families["enrapt_latency_seconds"].type == "summary"
    assert sum(len(family.samples) for family in families.values()) == len(strictly(text))


_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)+)\})? (\S+)')
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def strictly(text):
    """Value by name and labels. Checks text format 0.0.4 as promtool does: each family once, in one piece,
    with help and type before its samples; no sample twice; counters end in `_total` and are not negative."""
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
        pairs = [(label, _plain(text)) for label, text in _LABEL.findall(labels or "")]
        assert labels is None or len(labels.rstrip(",")) == len(
            ",".join(m[0] for m in _LABEL.finditer(labels))
        )
        key = series, tuple(sorted(pairs))
        assert key not in samples
        samples[key] = float(value)
        assert kinds[name] == "gauge" or samples[key] >= 0
    assert all(any(series.startswith(name) for series, _ in samples) for name in kinds)
    return samples


def _plain(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def test_openapi_describes_responses_before_and_after_the_first_tick(server):
    where = f"http://127.0.0.1:{port_of(server)}"
    description = schemathesis.openapi.from_url(f"{where}/openapi.json")
    paths = {"/openapi.json"}  # which schemathesis leaves out
    for _ in range(2):  # before the first tick, and after it
        for operation in description.get_all_operations():
            case = operation.ok().Case()
            paths.add(case.operation.path)
            case.call_and_validate(base_url=where, excluded_checks=[schemathesis.checks.not_a_server_error])
        write(server)
    assert paths == set(PATHS)


def test_openapi_describes_responses_to_valid_and_invalid_requests(server):
    ended = threading.Event()

    def feed():
        k = 0
        while not ended.wait(0.04):
            server.write(*tick(k))
            k += 1

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        wait_until(lambda: request(server, "/health")[0] == 200)
        command = Path(sys.executable).with_name("schemathesis")
        options = ["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1"]
        done = subprocess.run(
            [command, "run", f"{server.address}openapi.json", *options], capture_output=True, text=True
        )
    finally:
        ended.set()
        feeding.join()
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout


@pytest.mark.parametrize("path", [*PATHS, "/no-such-thing"])
def test_every_response_has_security_headers(idle_server, path):
    headers = request(idle_server, path)[1]
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_only_get_is_allowed(idle_server, path, method):
    assert request(idle_server, path, method)[0] == 405


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
def test_no_other_files_are_served(idle_server, path):
    assert request(idle_server, path)[0] == 404


def test_page_loads_nothing_from_elsewhere(idle_server):
    content = request(idle_server, "/")[2].decode()
    assert "enrapt" in content
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", content)
