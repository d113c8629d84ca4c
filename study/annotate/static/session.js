// The page of what is rated once for a whole session: the recording, and a question for each dimension.

import { Answers } from "./answers.js";
import { bindKeys } from "./keys.js";
import { showWays } from "./onward.js";
import { Questions } from "./questions.js";
import { $, alertOf } from "./view.js";

const JUMP = 5; // s
const video = $("video");
const client = crypto.randomUUID();

const task = await (await fetch("task")).json();
const values = await (await fetch(`whole?client=${client}`)).json();
const answers = new Answers(values, client, task.task, reportStored, show);
const questions = new Questions($("questions"), task.whole, (name, value) => answers.choose(name, value));
const onward = showWays(task, client, () => answers.settle());

function reportStored(state, text) {
  const said = { stored: `stored ${new Date().toLocaleTimeString()}`, storing: "storing…", trouble: "not stored" };
  $("saved").dataset.state = state;
  $("saved").textContent = said[state];
  alertOf("store", text && `Not stored: ${text}`);
  if (state === "stored" && video.error) loadMedia();
}

function loadMedia() {
  const at = video.currentTime;
  video.src = `media?${Date.now()}`;
  video.addEventListener("loadedmetadata", () => (video.currentTime = at), { once: true });
}

function show() {
  questions.show(answers.values);
  const rated = Object.values(answers.values).filter((value) => value !== null).length;
  $("rated").textContent = `${rated} of ${task.whole.length} questions answered`;
  $("onward").classList.toggle("due", rated === task.whole.length);
  $("undo").disabled = !answers.done.length;
  $("redo").disabled = !answers.undone.length;
}

function change(how) {
  const name = answers[how]();
  if (name !== undefined) questions.goTo(name);
}

function play() {
  if (!video.paused) return video.pause();
  return video.play().catch((error) => alertOf("media", `The browser does not play: ${error.message}`));
}

const actions = { undo: () => change("undo"), redo: () => change("redo"), help: () => $("keys").showModal(), onward };
for (const id of ["undo", "redo", "help"]) $(id).addEventListener("click", (event) => {
  actions[id]();
  if (event.detail) event.currentTarget.blur(); // so that the space bar plays again
});
bindKeys({
  " ": play, z: "undo", y: "redo", n: "onward", "?": "help",
  x: () => answers.choose(questions.row.name, null),
  d: () => questions.next(),
  ArrowLeft: (event) => (video.currentTime -= event.shiftKey ? 1 : JUMP),
  ArrowRight: (event) => (video.currentTime += event.shiftKey ? 1 : JUMP),
  Home: () => (video.currentTime = 0),
}, (number) => {
  const { row } = questions, value = row.values.ofDigit(number);
  return value === undefined ? undefined : () => {
    answers.choose(row.name, value);
    questions.go(questions.current + 1);
  };
}, (id) => !$(id).hidden && !$(id).disabled && actions[id]());

video.addEventListener("error", () => alertOf("media", "The recording cannot be loaded; is enrapt annotate running?"));
video.addEventListener("loadeddata", () => alertOf("media", ""));
document.addEventListener("visibilitychange", () => document.hidden && video.pause());
addEventListener("beforeunload", (event) => answers.trouble && event.preventDefault());

$("title").textContent = task.title;
$("rater").textContent = `rater ${task.rater}`;
show();
loadMedia();
document.documentElement.dataset.ready = "yes";
