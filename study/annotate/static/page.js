// The page: what is played, rated and stored, and the keys.

import { Chart, clock, Overview } from "./chart.js";
import { Clock } from "./clock.js";
import { Gamepad, Scale } from "./input.js";
import { bindKeys } from "./keys.js";
import { Editor } from "./model.js";
import { showWays } from "./onward.js";
import { Store } from "./store.js";
import { $, alertOf, showSteps, showStretches } from "./view.js";

const PRACTICE = 60; // s
const JUMP = 5; // s
const video = $("video");
const client = crypto.randomUUID();

const task = await (await fetch("task")).json();
const page = { dimension: null, editor: null, stretches: [], value: null, rating: true, open: null,
  practice: null, next: 0, chosen: [], from: null };
const media = new Clock(video, task.offset);
const scale = new Scale($("scale"), choose);
const gamepad = new Gamepad();
const chart = new Chart($("chart")), overview = new Overview($("overview"), task, (t) => media.seek(t));
const store = new Store(client, task.task, reportStored, ({ stretches }) => offer(stretches));

function reportStored(state, text) {
  const said = { stored: `stored ${new Date().toLocaleTimeString()}`, storing: "storing…", trouble: "not stored" };
  $("saved").dataset.state = state;
  $("saved").textContent = said[state];
  alertOf("store", text && `Not stored: ${text}`);
  if (state === "trouble") video.pause(); // so that no more is lost than what was drawn until now
  else if (video.error) loadMedia(media.at());
}

function loadMedia(at = task.offset) {
  video.src = `media?${Date.now()}`;
  video.addEventListener("loadedmetadata", () => media.seek(at), { once: true });
}

async function useDimension(name) {
  video.pause();
  if (page.practice !== null) endPractice();
  if (page.editor) drawChosen();
  page.editor?.end();
  if (page.editor && !(await store.settle())) return void ($("dimension").value = page.dimension.name);
  const { segments, stretches } = await store.load(name);
  page.dimension = task.dimensions.find((one) => one.name === name);
  page.editor = new Editor(segments, client.slice(0, 8) + name);
  page.open = null;
  store.use(name, page.editor);
  scale.dimension = page.dimension;
  setValue(valueAt(media.at()));
  $("dimension").value = name;
  $("question").textContent = page.dimension.question || `How high is ${name}?`;
  const intervals = page.dimension.kind === "interval";
  for (const id of ["open", "close"]) $(id).hidden = !intervals || task.given.length > 0;
  $("record").hidden = intervals;
  showSteps($("steps"), scale, digit);
  offer(stretches);
  return undefined;
}

function valueAt(time) {
  return page.editor.ratings.at(time)?.[2] ?? null;
}

function setValue(value) {
  page.value = value;
  scale.show(value);
}

/** The user chose a value, at `stamp`; null: not rated. */
function choose(value, stamp) {
  if (!page.editor) return;
  setValue(value);
  if (page.editor.drawing) page.chosen.push([value, stamp]);
  else begin(stamp);
}

/** Draw what was chosen, once its time is known; or at once. */
function drawChosen(all = true) {
  while (page.chosen.length && (all || media.knows(page.chosen[0][1]))) {
    const [value, stamp] = page.chosen.shift(), end = page.editor.stroke?.end;
    page.editor.set(value, video.seeking ? end : media.at(stamp));
  }
}

/** Draw from `stamp` on; without, from where playing was started, or from now on. */
function begin(stamp) {
  const from = stamp === undefined ? page.from : null;
  page.from = null;
  const traced = page.dimension?.kind === "trace" && page.rating && (page.value !== null || stamp !== undefined);
  if (traced && !video.paused && !video.seeking) page.editor.begin(from ?? media.at(stamp), page.value);
}

function end(time) {
  if (!page.editor) return;
  drawChosen();
  page.editor.end(time);
  store.save();
}

/** A value by its key: of a trace from here on; of the interval that is open, given, or there. */
function digit(value, stamp) {
  if (page.dimension.kind === "trace") return choose(value, stamp);
  const time = media.at(stamp);
  setValue(value);
  if (page.open !== null) return closeInterval(stamp);
  const given = given_at(time), there = page.editor.ratings.at(time);
  const [start, stop] = given ?? there ?? [];
  if (start === undefined) return alertOf("mark", "No interval here: start one with S");
  alertOf("mark", "");
  page.editor.write(start, stop, value);
  if (given) next();
  return store.save();
}

/** The given interval that the time is in, or that ended last. */
function given_at(time) {
  return task.given.findLast(([start]) => start <= time + 0.02);
}

function closeInterval(stamp) {
  const time = media.at(stamp);
  if (page.open === null) return alertOf("mark", "No interval was started: S does");
  if (page.value === null) return alertOf("mark", "Choose a value first, on the scale or by a digit");
  if (time <= page.open) return alertOf("mark", "It would end before it starts");
  alertOf("mark", "");
  page.editor.write(page.open, time, page.value);
  page.open = null;
  return store.save();
}

function unrated(stamp) {
  if (page.dimension.kind === "trace") return choose(null, stamp);
  const there = page.editor.ratings.at(media.at(stamp));
  page.open = null;
  if (there) page.editor.write(there[0], there[1], null);
  return store.save();
}

function seek(time) {
  if (page.editor) drawChosen();
  page.editor?.end();
  media.seek(time);
}

function change(how) {
  video.pause();
  drawChosen();
  page.open = null;
  const at = page.editor[how]();
  if (at !== undefined) media.seek(at);
  setValue(at === undefined ? page.value : valueAt(at));
  store.save();
}

function play() {
  if (!video.paused) return video.pause();
  return video.play().catch((error) => alertOf("media", `The browser does not play: ${error.message}`));
}

/** The next given interval without a rating, or the next stretch that is offered. */
function next() {
  const { ratings } = page.editor;
  if (task.given.length) {
    const left = task.given.filter(([start]) => !ratings.at(start));
    const to = left.find(([start]) => start > media.at() - 0.02) ?? left[0];
    alertOf("mark", to ? "" : "All intervals are rated.");
    if (to) seek(to[0]);
  } else if (page.stretches.length) seek(page.stretches[page.next++ % page.stretches.length].start);
}

function offer(stretches) {
  page.stretches = stretches;
  $("offers").hidden = !task.offers;
  $("next").hidden = !task.offers && !task.given.length;
  showStretches($("offers").querySelector("ol"), stretches, seek);
}

function practise() {
  if (page.practice !== null) return endPractice();
  video.pause();
  end();
  page.practice = { until: performance.now() + PRACTICE * 1000, editor: page.editor, at: media.at() };
  store.paused = true;
  page.editor = new Editor([]);
  setValue(null);
  $("practice").setAttribute("aria-pressed", "true");
  return play();
}

function endPractice() {
  const { editor, at } = page.practice;
  video.pause();
  page.chosen = [];
  page.practice = null;
  page.editor = editor;
  store.paused = false;
  alertOf("practice", "");
  $("practice").setAttribute("aria-pressed", "false");
  media.seek(at);
  setValue(valueAt(at));
}

const actions = {
  play, back: () => seek(media.at() - JUMP), undo: () => change("undo"), redo: () => change("redo"),
  none: (event) => unrated(event.timeStamp), practice: practise, next, help: () => $("keys").showModal(),
  open: (event) => (page.open = media.at(event.timeStamp)), close: (event) => closeInterval(event.timeStamp),
  record: () => {
    page.rating = !page.rating;
    if (page.rating) begin();
    else end(media.at());
    $("record").setAttribute("aria-pressed", page.rating);
  },
};
for (const [id, act] of Object.entries(actions)) $(id).addEventListener("click", (event) => {
  act(event);
  if (event.detail) event.currentTarget.blur(); // so that the space bar plays again
});
video.addEventListener("click", play);
$("dimension").addEventListener("change", (event) => {
  useDimension(event.target.value);
  event.target.blur();
});

bindKeys({
  " ": "play", r: "record", z: "undo", y: "redo", x: "none", n: "next", s: "open", e: "close", "?": "help",
  ArrowLeft: (event) => seek(media.at() - (event.shiftKey ? 1 : JUMP)),
  ArrowRight: (event) => seek(media.at() + (event.shiftKey ? 1 : JUMP)),
  ArrowUp: (event) => scale.press(1, event.timeStamp),
  ArrowDown: (event) => scale.press(-1, event.timeStamp),
  Home: () => seek(task.offset),
  End: () => seek(page.editor.ratings.firstGap(task.offset)),
  d: () => useDimension(task.dimensions[(task.dimensions.indexOf(page.dimension) + 1) % task.dimensions.length].name),
}, (number) => {
  const value = page.editor && scale.values.ofDigit(number);
  return value === undefined ? undefined : (event) => digit(value, event.timeStamp);
}, (id, event) => !$(id).hidden && actions[id](event));
addEventListener("keyup", (event) => event.key.startsWith("Arrow") && scale.release());

// Of a busy browser long before "playing"; the user sees and rates the picture where it stands.
video.addEventListener("play", () => (page.from = task.offset + video.currentTime));
video.addEventListener("seeking", () => (page.from = null));
video.addEventListener("playing", () => begin());
video.addEventListener("pause", () => end(media.at()));
for (const name of ["seeking", "waiting", "emptied"]) video.addEventListener(name, () => end());
video.addEventListener("ended", () => end(task.offset + video.duration));
video.addEventListener("seeked", () => {
  if (!page.editor) return;
  setValue(valueAt(media.at()) ?? page.value);
  if (!video.paused) begin();
});
video.addEventListener("error", () => alertOf("media", "The recording cannot be loaded; is enrapt annotate running?"));
video.addEventListener("loadeddata", () => alertOf("media", ""));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) video.pause(); // no picture, no rating
});
addEventListener("pagehide", () => page.editor && drawChosen(), true); // before the store sends
addEventListener("beforeunload", (event) => store.trouble && event.preventDefault());

let last = performance.now(), slow = 0, stopped = null;
function frame(now) {
  const time = media.at(), { editor } = page, { stick, pressed } = gamepad.read();
  scale.tick(now, now - last, stick);
  last = now;
  if (pressed.includes(0)) play();
  if (pressed.includes(1)) seek(time - JUMP);
  if (editor) {
    drawChosen(false);
    editor.advance(time);
    const given = given_at(time);
    if (given && !video.paused && time >= given[1] && given !== stopped && !editor.ratings.at(given[0])) {
      stopped = given;
      video.pause(); // for the rating of what was played
    }
    // Without rating, the scale shows what was rated.
    if (!page.rating && !video.paused) setValue(valueAt(time) ?? page.value);
    draw(time, now);
  }
  requestAnimationFrame(frame);
}

function draw(time, now) {
  const { editor } = page, recording = editor.drawing;
  const state = recording ? "rating" : video.paused ? "paused" : "watching";
  if ($("state").dataset.state !== state) {
    $("state").dataset.state = $("state").textContent = state;
    $("stage").classList.toggle("rating", recording);
    $("play").firstChild.textContent = video.paused ? "Play " : "Pause ";
  }
  const view = { time, value: page.value, dimension: page.dimension, ratings: editor.ratings, open: page.open,
    recording };
  chart.draw(view, task, page.stretches);
  if (now - slow < 200) return;
  slow = now;
  overview.draw(view, page.stretches);
  $("time").textContent = `${clock(time - task.offset)} of ${clock(task.duration)}`;
  const { given } = task, done = given.filter(([start]) => editor.ratings.at(start)).length;
  $("rated").textContent = given.length ? `${done} of ${given.length} intervals rated`
    : `${Math.round(100 * editor.ratings.rated() / task.duration)} % rated`;
  $("undo").disabled = !editor.done.length && !recording;
  $("redo").disabled = !editor.undone.length;
  if (!page.practice) return;
  const left = Math.ceil((page.practice.until - now) / 1000);
  alertOf("practice", `Practice: nothing is stored. ${left} s left.`);
  if (left <= 0) endPractice();
}

$("title").textContent = task.title;
$("rater").textContent = `rater ${task.rater}`;
$("dimension").replaceChildren(...task.dimensions.map(({ name }) => new Option(name, name)));
showWays(task, client, () => {
  video.pause();
  page.editor.end();
  return store.settle();
});
loadMedia();
await useDimension(task.dimensions[0].name);
requestAnimationFrame(frame);
document.documentElement.dataset.ready = "yes";
