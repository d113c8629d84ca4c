// The page of several people with devices of their own: a strip for each.

import { Chart, clock } from "./chart.js";
import { Link } from "./link.js";
import { element, setText } from "./meters.js";
import { Run } from "./run.js";

const STOPPED = 2; // s without an estimate

const $ = (id) => document.getElementById(id);
const strips = new Map(); // by name
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

class Strip {
  constructor(name) {
    this.name = name;
    this.run = new Run();
    this.run.since = performance.now() / 1000;
    this.over = null; // why, once it is
    const canvas = element("canvas", "", { role: "img",
      "aria-label": `Engagement of ${name} over the last minute with its 90 % interval, and when each modality was present` });
    const link = element("a", name, { href: `people/${encodeURIComponent(name)}/${location.search}` });
    const heading = element("h2", "");
    heading.append(link);
    this.mean = element("output", "–", { "aria-label": "mean" });
    this.bounds = element("span", "–");
    const interval = element("p", "");
    interval.append(this.bounds, " ", element("small", "90 %"));
    this.presence = element("ul", "", { class: "presence", "aria-label": "Present modalities" });
    this.reasons = element("ul", "", { class: "reasons", role: "status", "aria-live": "polite" });
    const now = element("div", "", { class: "now" });
    now.append(heading, this.mean, interval, this.presence, this.reasons);
    this.element = element("section", "", { class: "strip", "data-name": name, "aria-label": name });
    this.element.append(now, canvas);
    this.chart = new Chart(canvas);
  }

  /** Load the estimates that were made while this page was not connected. */
  async load() {
    this.run.since = performance.now() / 1000;
    try {
      const response = await fetch(`people/${encodeURIComponent(this.name)}/history${location.search}`);
      if (!response.ok) throw new Error(response.statusText);
      this.run.remember(await response.json());
    } catch {
      this.run.clear(); // it may be another run
    }
    this.chart.stale = true;
  }

  /** What is wrong now, a line each. */
  get lines() {
    if (this.over !== null) return [this.over ? `■ has ended: ${this.over}` : "■ has ended"];
    const { newest, since, status } = this.run;
    const lines = (status?.devices ?? []).filter(({ state }) => state === "lost").map(({ name }) => `✕ ${name} lost`);
    if (status?.paused) lines.unshift("‖ paused");
    else if (performance.now() / 1000 - (newest?.arrived ?? since) > STOPPED) lines.unshift("▲ no estimates");
    return [...lines, ...Object.entries(status?.missing ?? {}).map(([name, why]) => `▲ ${name}: ${why}`)];
  }

  show() {
    const { newest } = this.run;
    showLines(this.reasons, this.lines);
    this.element.classList.toggle("old", this.over !== null || Boolean(this.run.status?.paused));
    if (!newest) return;
    const { mean, low, high } = newest.engagement;
    setText(this.mean, mean.toFixed(2));
    setText(this.bounds, `${low.toFixed(2)} – ${high.toFixed(2)}`);
    Object.assign(this.element.dataset, { tick: newest.tick ?? "", mean, low, high });
    const present = Object.entries(newest.present);
    showLines(this.presence, present.map(([name, is]) => (is ? `● ${name}` : `▲ ${name} missing`)));
    present.forEach(([, is], k) => (this.presence.children[k].dataset.present = is));
  }

  draw(now) {
    const time = this.run.advance(now);
    if (time === null) return;
    const end = reducedMotion.matches ? Math.floor(time) : time;
    if (!this.chart.stale && end === this.chart.end) return;
    this.chart.end = end;
    this.chart.draw(this.run, end, this.run.hello?.modalities ?? Object.keys(this.run.newest.present));
  }
}

/** Whether the lines are new: a screen reader would read the same ones again. */
function showLines(list, lines) {
  if (list.shown === lines.join()) return false;
  list.shown = lines.join();
  list.replaceChildren(...lines.map((line) => element("li", line)));
  return true;
}

const address = new URL("page" + location.search, location.href.replace(/^http/, "ws"));
address.hash = "";
const link = new Link(address, received, () => strips.forEach((strip) => strip.load()));

function received({ who, ...message }) {
  const strip = strips.get(who);
  if (message.type === "people") setPeople(message.names);
  else if (message.type === "estimate") strip.run.add(message);
  else if (message.type === "status") strip.run.status = message;
  else if (message.type === "ended") strip.over = message.why;
  else if (message.type === "mark") {
    strip.run.marks.push({ ...message, arrived: performance.now() / 1000 });
    strip.chart.stale = true;
  } else if (message.type === "hello") {
    strip.run.hello = message;
    strip.over = null;
    describe();
  }
  link.mayBeSilent = strips.size > 0 && [...strips.values()].every(({ over }) => over !== null);
}

function setPeople(names) {
  for (const [name, { element: row }] of strips) {
    if (!names.includes(name)) {
      row.remove();
      strips.delete(name);
    }
  }
  for (const name of names) {
    if (strips.has(name)) continue;
    const strip = new Strip(name);
    strips.set(name, strip);
    $("strips").append(strip.element);
    strip.load();
  }
}

function describe() {
  const all = [...strips.values()].map(({ run }) => run.hello).filter(Boolean);
  const media = all.some(({ media_kept }) => media_kept) ? "; video and audio are kept" : "";
  const folders = all.map(({ recording }) => recording).filter(Boolean);
  setText($("recording"), `● recording to ${folders.join(", ")}${media}`);
  $("recording").hidden = !folders.length;
  const bundles = new Map(all.map(({ bundle }) => [bundle.sha256 ?? bundle.name, bundle]));
  $("bundle").replaceChildren(...[...bundles.values()].flatMap((bundle) => [
    element("b", `${bundle.name} ${bundle.sha256?.slice(0, 8) ?? ""}`), ` · trained on: ${bundle.trained_on} · `,
    element("b", bundle.not_for), " ",
  ]));
}

setInterval(() => {
  const lost = { lost: "✕ Not connected to enrapt; reconnecting", connecting: "◌ Connecting" }[link.state];
  const ended = link.state === "lost" && link.mayBeSilent;
  const wrong = [...strips.values()].filter(({ lines }) => lines.length).map(({ name }) => name);
  if (showLines($("alerts"), ended ? ["■ The session has ended"] : lost ? [lost] : [])) {
    document.body.classList.toggle("old", Boolean(lost) && !ended);
  }
  document.title = wrong.length ? `▲ ${wrong.join(", ")} – enrapt` : "enrapt";
  const newest = Math.max(...[...strips.values()].map(({ run }) => run.newest?.t ?? 0));
  setText($("run"), newest > 0 ? `live, ${strips.size} people, ${clock(newest)}` : "");
  strips.forEach((strip) => strip.show());
}, 100);

function frame() {
  requestAnimationFrame(frame);
  const now = performance.now() / 1000;
  strips.forEach((strip) => strip.draw(now));
}
requestAnimationFrame(frame);
