// The page: messages of the server update a Run, and every frame shows the Run.

import { Chart, clock } from "./chart.js";
import { Link } from "./link.js";
import { element, leaves, Meter, setText, table } from "./meters.js";
import { People } from "./people.js";
import { Preview } from "./preview.js";
import { Run } from "./run.js";

const MISSING = 0.5; // s without a modality before the page reports it
const STOPPED = 2; // s without an estimate
const MEASURED = location.hash === "#measure"; // record when ticks are drawn, for benchmarks/page.py

// By the kind of a modality's schema
const ABSENCE = { face: "No face detected", audio: "No sound" };
const DEVICE = { face: "camera", audio: "microphone" };

const $ = (id) => document.getElementById(id);
const run = new Run();
const chart = new Chart($("chart"));
const preview = new Preview($("landmarks"), $("preview"), choose);
const people = new People($("people"), choose);
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const lastPresent = {}; // s, by modality
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

// One of several people with devices of their own: back to the page of all.
const person = /\/people\/([^/]+)\/$/.exec(location.pathname)?.[1];
$("all").hidden = !person;
$("all").textContent = person ? `◂ ${decodeURIComponent(person)}` : "";
$("all").setAttribute("href", `../../${location.search}`);

// Messages of the server

const address = new URL("page" + location.search, location.href.replace(/^http/, "ws"));
address.hash = "";
const link = new Link(address, received, opened);

async function opened() {
  run.since = performance.now() / 1000;
  for (const { run: own } of people.byId.values()) own.since = run.since;
  if (!(await loadHistory())) run.clear(); // it may be another run
}

/** Load the estimates made while this page was not connected; whether that worked. */
async function loadHistory() {
  const loaded = await Promise.all([loadPast(run, people.shown), ...people.ids.map(loadOther)]);
  return loaded[0];
}

function loadOther(person) {
  return loadPast(people.byId.get(person).run, person);
}

async function loadPast(own, person) {
  const search = new URLSearchParams(location.search);
  if (person !== null) search.set("person", person);
  const response = await fetch(search.size ? `history?${search}` : "history").catch(() => null);
  if (!response?.ok) return false;
  const past = await response.json();
  if (own !== run || person === people.shown) own.remember(past);
  if (own !== run && person === people.shown) run.rows = [...own.rows];
  chart.stale = true;
  return true;
}

function received(message) {
  if (message.type === "estimate") {
    people.byId.get(message.person)?.run.add(message);
    if (people.shown !== null && message.person !== people.shown) return;
    if (run.hello?.kind === "replay" && message.t - run.newest?.t > 3 * run.step) missed = true;
    run.add(message);
    for (const [name, present] of Object.entries(message.present)) {
      if (present || !(name in lastPresent)) lastPresent[name] = message.arrived;
    }
  } else if (message.type === "landmarks") {
    preview.show(message);
  } else if (message.type === "mark") {
    run.marks.push({ ...message, arrived: performance.now() / 1000 });
    setText($("message"), `Marked ${clock(message.t)} ${message.label}`);
    chart.stale = true;
  } else if (message.type === "people") {
    const known = people.ids;
    people.set(message.ids, run);
    message.ids.filter((id) => !known.includes(id)).forEach(loadOther);
    if (message.followed !== people.followed || !message.ids.includes(people.shown)) showPerson(message.followed);
    people.followed = message.followed;
  } else if (message.type === "hello") {
    run.hello = message;
    if (!(message.people > 1)) {
      people.set([], run);
      people.shown = people.followed = null;
    }
    showDescription(message);
  } else if (message.type === "status") {
    run.status = message;
    showStatus(message);
  }
}

// A replay may run faster than a browser reads; load the estimates that were dropped.
setInterval(() => {
  if (missed) loadHistory();
  missed = false;
}, 2000);

/** Show this one of several people large. */
function showPerson(id) {
  if (id === people.shown) return people.show(id);
  people.show(id);
  run.rows = [...(people.byId.get(id)?.run.rows ?? [])];
  for (const name of Object.keys(lastPresent)) delete lastPresent[name];
  chart.stale = true;
}

/** Follow this person; of recorded people, show this one large. */
function choose(person) {
  if (people.byId.has(person)) showPerson(person);
  if (!run.hello?.can.includes("follow")) return;
  const inView = $("landmarks").dataset.people?.split(" ") ?? [String(person)];
  if (!inView.includes(String(person)) && !people.byId.has(person)) {
    setText($("message"), `Person ${person} is not in view`);
  } else {
    const sent = link.send({ do: "follow", person });
    setText($("message"), sent ? `Person ${person} requested` : "Not connected: not sent");
  }
}

function showDescription({ kind, name, bundle, recording, media_kept, can, duration }) {
  setText($("run"), kind === "live" ? "live" : `replay of ${name}${duration ? `, ${clock(duration)}` : ""}`);
  const stored = [recording && `recording to ${recording}`, media_kept && "video and audio are kept"];
  setText($("recording"), `● ${stored.filter(Boolean).join("; ")}`);
  $("recording").hidden = !stored.some(Boolean);
  const id = bundle.sha256?.slice(0, 8) ?? "";
  $("bundle").replaceChildren(
    element("b", `${bundle.name} ${id}`), ` · trained on: ${bundle.trained_on} · `,
    element("b", bundle.not_for),
  );
  for (const part of document.querySelectorAll("[data-needs]")) part.hidden = !can.includes(part.dataset.needs);
  $("landmarks").classList.toggle("choice", can.includes("follow"));
  $("scrub").hidden = kind !== "replay";
  if (kind !== "replay") follow = true;
  link.mayBeSilent = kind === "replay";
}

function showStatus({ devices, missing, drops, latency_ms, paused, profile, calibrating, outputs }) {
  const shape = { lost: "✕ ", open: "● " };
  const device = ({ name, state, format }) => [name, (shape[state] ?? "◌ ") + state, format ?? ""];
  table($("devices"), devices.map(device));
  showLines($("reasons"), Object.entries(missing ?? {}).map(([name, why]) => `${name}: ${why}`));
  const percentiles = ["p50", "p95", "p99"];
  const row = ([stage, ms]) => [stage, ...percentiles.map((p) => milliseconds(ms[p]))];
  table($("latency"), Object.entries(latency_ms).map(row), ["", ...percentiles]);
  const byOutput = Object.entries(outputs ?? {}).map(([to, counts]) => leaves(counts.dropped, [to]));
  const dropped = [...leaves(drops), ...byOutput.flat()].map(([what, n]) => [what.replaceAll("_", " "), n]);
  table($("drops"), dropped.length ? dropped : [["nothing", "0"]]);
  const collecting = typeof calibrating === "number" ? `stay neutral: ${Math.floor(calibrating)} of 60 s` : "";
  setText($("calibrated"), collecting || (profile ? `profile: ${profile}` : ""));
  $("pause").setAttribute("aria-pressed", Boolean(paused));
  setText($("pause").firstChild, paused ? "Resume " : "Pause ");
}

function milliseconds(x) {
  return x === null || x === undefined ? "–" : x.toFixed(x < 10 ? 2 : 0);
}

// Alerts, with words and shapes. A timer updates them also while the tab is hidden.

function alerts() {
  if (ended()) return ["■ The replay has ended"];
  if (link.state === "lost") return ["✕ Not connected to enrapt; reconnecting"];
  if (link.state === "connecting") return ["◌ Connecting"];
  const devices = run.status?.devices ?? [];
  const lines = devices.filter(({ state }) => state === "lost").map(({ name }) => `✕ ${capital(name)} lost`);
  if (run.status?.paused) return ["‖ Paused", ...lines];
  const now = performance.now() / 1000;
  const stopped = now - (run.newest?.arrived ?? run.since) > STOPPED;
  if (stopped && run.hello?.kind !== "replay") return ["▲ No estimates", ...lines];
  for (const [name, present] of Object.entries(run.newest?.present ?? {})) {
    const explained = name in (run.status?.missing ?? {}); // a tick that has it now and then does not count
    if ((present && !explained) || run.hello?.sources?.includes(name) === false) continue;
    const kind = run.hello?.schemas?.[name]?.split("/")[0];
    const lost = devices.some((device) => device.name === DEVICE[kind] && device.state === "lost");
    const own = kind === "face" || !(run.hello?.people > 1); // of several people not all are heard
    if (!lost && (explained || (own && now - lastPresent[name] > MISSING))) lines.push(`▲ ${ABSENCE[kind] ?? `No ${name}`}`);
  }
  return lines;
}

/** Whether the server of a replay has closed after its last estimate. */
function ended() {
  return link.state === "lost" && run.hello?.duration && run.newest?.t > run.hello.duration - 1;
}

/** Whether the lines are new: a screen reader would read the same ones again. */
function showLines(list, lines) {
  if (list.shown === lines.join()) return false;
  list.shown = lines.join();
  list.replaceChildren(...lines.map((line) => element("li", line)));
  return true;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

setInterval(() => {
  const lines = alerts();
  if (!showLines($("alerts"), lines)) return;
  document.title = lines.length ? `${lines[0]} – enrapt` : "enrapt";
  document.body.classList.toggle("old", (link.state !== "open" && !ended()) || Boolean(run.status?.paused));
}, 100);

// Display

function show(row) {
  const { mean, low, high } = row.engagement;
  const { person = null, faces = null } = row;
  $("who").hidden = faces === null; // of the history
  const who = person === null ? "" : `person ${person} · `;
  setText($("who"), faces === null ? "" : `${who}${faces || "no"} face${faces === 1 ? "" : "s"} in view`);
  setText($("mean"), mean.toFixed(2));
  setText($("bounds"), `${low.toFixed(2)} – ${high.toFixed(2)}`);
  Object.assign($("now").dataset, { tick: row.tick ?? "", t: row.t, mean, low, high });
  const [band, point] = $("interval").children;
  band.style.transform = `translateX(${100 * low}%) scaleX(${high - low})`;
  point.style.transform = `translateX(${100 * mean}%)`;
  Object.entries(row.present).forEach(([name, present], i) => {
    const chip = $("presence").children[i] ?? $("presence").appendChild(element("li"));
    const age = row.age_ms?.[name] ?? "";
    setText(chip, present ? `● ${name}${age === "" ? "" : ` ${age.toFixed(0)} ms`}` : `▲ ${name} missing`);
    Object.assign(chip.dataset, { name, present, age });
  });
  const features = row.features ?? {};
  for (const [name, meter] of Object.entries(meters)) meter.show(features[name]);
  expressions.forEach((meter, i) => {
    const [name, score] = features.expressions?.[i] ?? ["–", null];
    meter.show(score, name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)); // mouthSmileLeft
  });
  for (const name of Object.keys(row.present)) {
    const meter = (surprises[name] ??= new Meter($("surprise"), name, { digits: 1 }));
    // Nats have no meaningful zero: the bar's range is that of the values on the chart.
    const minute = run.between(row.t - run.span, row.t).flatMap((one) => one.surprise?.[name] ?? []);
    meter.low = Math.min(...minute);
    meter.high = Math.max(...minute);
    meter.show(row.surprise?.[name]);
  }
}

function frame(milliseconds) {
  requestAnimationFrame(frame);
  const now = performance.now() / 1000;
  const time = run.advance(now);
  if (time === null) return;
  const end = follow ? (reducedMotion.matches ? Math.floor(run.newest.t) : time) : Number($("at").value);
  const row = follow ? run.newest : run.rowAt(end);
  if (row !== shown) show(row);
  if (chart.stale || end !== chart.end) {
    chart.end = end;
    const modalities = run.hello?.modalities ?? Object.keys(row.present);
    chart.draw(run, end, modalities);
    people.draw(run, end, modalities);
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
  setText($("time"), `${clock(row.t)} of ${clock(run.newest.t)}`);
  slider.setAttribute("aria-valuetext", clock(row.t));
}

/** A message to this window arrives after the frame has been painted. */
function drawn(row) {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => performance.mark("drawn", { detail: row.tick });
  channel.port2.postMessage(null);
}

// Commands

function send(command) {
  setText($("message"), link.send(command) ? `${capital(command.do)} requested` : "Not connected: not sent");
}

function following(on) {
  follow = on;
  chart.stale = true;
  $("reasons").hidden = !on; // they are those of now
  $("follow").setAttribute("aria-pressed", on);
}

const actions = {
  p: ["pause", () => send({ do: run.status?.paused ? "resume" : "pause" })],
  m: ["mark", () => send({ do: "mark", label: $("label").value.trim() || "mark" })],
  r: ["reset", () => send({ do: "reset" })],
  c: ["calibrate", () => send({ do: "calibrate" })],
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
  const digit = /^[1-9]$/.test(event.key) && (run.hello?.can.includes("follow") || people.byId.size > 0);
  const action = digit ? ["keys", () => choose(Number(event.key))] : actions[event.key.toLowerCase()];
  if (!action || !$("keys").checked || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "label" || !$(action[0]).checkVisibility()) return; // letters of a label
  event.preventDefault();
  action[1]();
};
