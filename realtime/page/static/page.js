// The page: what the server says goes into a Run, and every frame shows the Run.

import { Chart, clock } from "./chart.js";
import { Link } from "./link.js";
import { element, leaves, Meter, say, table } from "./meters.js";
import { Preview } from "./preview.js";
import { Run } from "./run.js";

const MISSING = 0.5; // s without a modality before the page says so; a blink is not worth a word
const STOPPED = 2; // s without an estimate
const MEASURED = location.hash === "#measure"; // marks when a tick was drawn; benchmarks/page.py reads them

const ABSENCE = { face: "No face in sight", audio: "No sound" };
const SENSOR = { face: "camera", audio: "microphone" };

const $ = (id) => document.getElementById(id);
const run = new Run();
const chart = new Chart($("chart"));
const preview = new Preview($("landmarks"), $("preview"));
const still = matchMedia("(prefers-reduced-motion: reduce)");
const seen = {}; // by modality, when it was last there, s
let shown = null; // the row on the page
let follow = true;
let missed = false;

const degrees = { high: 45, signed: true, unit: "°", digits: 0 };
const meters = {
  yaw_deg: new Meter($("head"), "yaw", degrees),
  pitch_deg: new Meter($("head"), "pitch", degrees),
  roll_deg: new Meter($("head"), "roll", degrees),
  gaze_x: new Meter($("head"), "gaze ↔", { signed: true }),
  gaze_y: new Meter($("head"), "gaze ↕", { signed: true }),
  voice: new Meter($("voice"), "speech"),
  level_db: new Meter($("voice"), "level", { low: -80, high: 0, unit: " dB", digits: 0 }),
};
const expressions = Array.from({ length: 5 }, () => new Meter($("expressions"), "–"));
const surprises = {};

// What the server says

const address = new URL("page" + location.search, location.href.replace(/^http/, "ws"));
address.hash = "";
const link = new Link(address, heard, opened);

async function opened() {
  run.since = performance.now() / 1000;
  if (!(await recalled())) run.clear(); // what is here may be of another run
}

/** Whether the server told what was before this page was there, or while it was away. */
async function recalled() {
  const answer = await fetch("history" + location.search).catch(() => null);
  if (answer?.ok) run.remember(await answer.json());
  chart.stale = true;
  return answer?.ok;
}

function heard(message) {
  if (message.type === "estimate") {
    if (run.hello?.kind === "replay" && message.t - run.newest?.t > 3 * run.step) missed = true;
    run.add(message);
    for (const [name, there] of Object.entries(message.present)) {
      if (there || !(name in seen)) seen[name] = message.arrived;
    }
  } else if (message.type === "landmarks") {
    preview.show(message);
  } else if (message.type === "mark") {
    run.marks.push({ ...message, arrived: performance.now() / 1000 });
    say($("said"), `Marked ${clock(message.t)} ${message.label}`);
    chart.stale = true;
  } else if (message.type === "hello") {
    run.hello = message;
    introduce(message);
  } else if (message.type === "status") {
    run.status = message;
    report(message);
  }
}

// A replay may run faster than a browser reads; what it was not told it looks up.
setInterval(() => {
  if (missed) recalled();
  missed = false;
}, 2000);

function introduce({ kind, name, bundle, recording, media_kept, can, duration }) {
  say($("run"), kind === "live" ? "live" : `replay of ${name}${duration ? `, ${clock(duration)}` : ""}`);
  const kept = [recording && `recording to ${recording}`, media_kept && "pictures and sound are kept"];
  say($("recording"), `● ${kept.filter(Boolean).join("; ")}`);
  $("recording").hidden = !kept.some(Boolean);
  const id = bundle.sha256?.slice(0, 8) ?? "";
  $("bundle").replaceChildren(
    element("b", `${bundle.name} ${id}`), ` · trained on: ${bundle.trained_on} · `,
    element("b", bundle.not_for),
  );
  for (const part of document.querySelectorAll("[data-does]")) part.hidden = !can.includes(part.dataset.does);
  $("scrub").hidden = kind !== "replay";
  if (kind !== "replay") follow = true;
  link.patient = kind === "replay";
}

function report({ devices, drops, latency_ms, paused, calibrated, outputs }) {
  const shape = { lost: "✕ ", open: "● " };
  const device = ({ name, state, given }) => [name, (shape[state] ?? "◌ ") + state, given ?? ""];
  table($("devices"), devices.map(device));
  const percentiles = ["p50", "p95", "p99"];
  const told = ([stage, ms]) => [stage, ...percentiles.map((p) => milliseconds(ms[p]))];
  table($("latency"), Object.entries(latency_ms).map(told), ["", ...percentiles]);
  const unsent = Object.entries(outputs ?? {}).map(([to, counts]) => leaves(counts.dropped, [to]));
  const dropped = [...leaves(drops), ...unsent.flat()];
  table($("drops"), dropped.length ? dropped : [["nothing", "0"]]);
  say($("calibrated"), typeof calibrated === "number" ? `calibrated: ${calibrated.toFixed(2)} is usual` : "");
  $("pause").setAttribute("aria-pressed", Boolean(paused));
  say($("pause").firstChild, paused ? "Resume " : "Pause ");
}

function milliseconds(x) {
  return x === null || x === undefined ? "–" : x.toFixed(x < 10 ? 2 : 0);
}

// What is wrong, in words and shapes; looked at a few times a second so that it is told also in a hidden tab

function troubles() {
  if (ended()) return ["■ The replay has ended"];
  if (link.state === "lost") return ["✕ Not connected to enrapt; trying again"];
  if (link.state === "connecting") return ["◌ Connecting"];
  const devices = run.status?.devices ?? [];
  const said = devices.filter(({ state }) => state === "lost").map(({ name }) => `✕ ${capital(name)} lost`);
  if (run.status?.paused) return ["‖ Paused", ...said];
  const now = performance.now() / 1000;
  const stopped = now - (run.newest?.arrived ?? run.since) > STOPPED;
  if (stopped && run.hello?.kind !== "replay") return ["▲ No estimates are coming", ...said];
  for (const [name, there] of Object.entries(run.newest?.present ?? {})) {
    if (run.hello?.sources?.includes(name) === false) continue; // nobody expects it
    const lost = devices.some((device) => device.name === SENSOR[name] && device.state === "lost");
    if (!there && !lost && now - seen[name] > MISSING) said.push(`▲ ${ABSENCE[name] ?? `No ${name}`}`);
  }
  return said;
}

/** Its server has gone, and all of it is here. */
function ended() {
  return link.state === "lost" && run.hello?.duration && run.newest?.t > run.hello.duration - 1;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

setInterval(() => {
  const said = troubles();
  if ($("alerts").told === said.join()) return; // a screen reader would say it again
  $("alerts").told = said.join();
  $("alerts").replaceChildren(...said.map((line) => element("li", line)));
  document.title = said.length ? `${said[0]} – enrapt` : "enrapt";
  document.body.classList.toggle("old", (link.state !== "open" && !ended()) || Boolean(run.status?.paused));
}, 100);

// What is shown

function show(row) {
  const { mean, low, high } = row.engagement;
  say($("mean"), mean.toFixed(2));
  say($("bounds"), `${low.toFixed(2)} – ${high.toFixed(2)}`);
  Object.assign($("now").dataset, { tick: row.tick ?? "", t: row.t, mean, low, high });
  const [band, point] = $("interval").children;
  band.style.transform = `translateX(${100 * low}%) scaleX(${high - low})`;
  point.style.transform = `translateX(${100 * mean}%)`;
  Object.entries(row.present).forEach(([name, there], i) => {
    const chip = $("presence").children[i] ?? $("presence").appendChild(element("li"));
    const age = row.age_ms?.[name] ?? "";
    say(chip, there ? `● ${name}${age === "" ? "" : ` ${age.toFixed(0)} ms`}` : `▲ ${name} missing`);
    Object.assign(chip.dataset, { name, there, age });
  });
  const features = row.features ?? {};
  for (const [name, meter] of Object.entries(meters)) meter.show(features[name]);
  expressions.forEach((meter, i) => {
    const [name, score] = features.expressions?.[i] ?? ["–", null];
    meter.show(score, name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)); // mouthSmileLeft
  });
  for (const name of Object.keys(row.present)) {
    const meter = (surprises[name] ??= new Meter($("surprise"), name, { digits: 1 }));
    // Nats have no zero that means anything: the bar lies between the least and the most on the chart.
    const minute = run.between(row.t - run.span, row.t).flatMap((one) => one.surprise?.[name] ?? []);
    meter.low = Math.min(...minute);
    meter.high = Math.max(...minute);
    meter.show(row.surprise?.[name]);
  }
}

function frame(milliseconds) {
  requestAnimationFrame(frame);
  const now = performance.now() / 1000;
  const steered = run.advance(now);
  if (steered === null) return;
  const end = follow ? (still.matches ? Math.floor(run.newest.t) : steered) : Number($("at").value);
  const row = follow ? run.newest : run.rowAt(end);
  if (row !== shown) show(row);
  if (chart.stale || end !== chart.end) {
    chart.end = end;
    chart.draw(run, end, run.hello?.modalities ?? Object.keys(row.present));
    if (MEASURED) performance.mark("frame", { detail: performance.now() / 1000 - now });
  }
  if (scrubbed.newest !== run.newest || row !== shown) scrubbed(row);
  if (MEASURED && row !== shown) drawn(row);
  shown = row;
}
requestAnimationFrame(frame);

function scrubbed(row) {
  scrubbed.newest = run.newest;
  const slider = $("at");
  slider.min = run.rows[0].t;
  slider.max = run.newest.t;
  if (follow) slider.value = run.newest.t;
  say($("moment"), `${clock(row.t)} of ${clock(run.newest.t)}`);
  slider.setAttribute("aria-valuetext", clock(row.t));
}

/** A message to oneself comes after the frame has been painted. */
function drawn(row) {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => performance.mark("drawn", { detail: row.tick });
  channel.port2.postMessage(null);
}

// What a person asks for

function ask(command) {
  say($("said"), link.send(command) ? `${capital(command.do)} asked for` : "Not connected: nothing was done");
}

function following(on) {
  follow = on;
  chart.stale = true;
  $("follow").setAttribute("aria-pressed", on);
}

const actions = {
  p: ["pause", () => ask({ do: run.status?.paused ? "resume" : "pause" })],
  m: ["mark", () => ask({ do: "mark", label: $("label").value.trim() || "mark" })],
  r: ["reset", () => ask({ do: "reset" })],
  c: ["calibrate", () => ask({ do: "calibrate" })],
  f: ["follow", () => following(true)],
};
for (const [id, act] of Object.values(actions)) if (id !== "mark") $(id).onclick = act;
$("commands").onsubmit = (event) => {
  event.preventDefault();
  actions.m[1]();
};
$("scrub").onsubmit = (event) => event.preventDefault();
$("at").oninput = () => following(false);
document.onkeydown = (event) => {
  const action = actions[event.key.toLowerCase()];
  if (!action || !$("keys").checked || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "label" || !$(action[0]).checkVisibility()) return; // a label is made of letters
  event.preventDefault();
  action[1]();
};
