// Ratings of the whole session: what was chosen, sent until the server has stored it, and undone.

import { NO_SERVER } from "./store.js";

const EVERY = 1000; // ms; to try again what was not stored
const LATE = 4000; // ms for an answer
const PAUSE = 3000; // ms; after which another value of the same question is another stroke

export class Answers {
  /**
   * `values`: by question, null where there is none; `report(state, text)`: as `Store`'s; `changed()`: after each
   * change of a value.
   */
  constructor(values, client, task, report, changed) {
    Object.assign(this, { values, client, task, report, changed });
    this.waiting = new Map(); // by question, the stroke of what is not stored yet
    this.strokes = 0;
    this.done = [];
    this.undone = [];
    this.last = 0; // when something was chosen
    this.sending = false;
    this.sent = {}; // last: {name, value}
    this.trouble = "";
    setInterval(() => this.save(), EVERY);
    addEventListener("pagehide", () => this.leave());
  }

  choose(name, value, now = performance.now()) {
    const before = this.values[name], step = this.done.at(-1);
    if (value === before) return;
    if (step?.name === name && now - this.last < PAUSE && !this.undone.length) step.after = value;
    else {
      this.strokes += 1;
      this.done.push({ name, before, after: value });
    }
    this.undone = [];
    this.last = now;
    this.put(name, value);
  }

  /** Take back the last stroke; gives its question, undefined if there is none. */
  undo() {
    return this.swap(this.done, this.undone, "before");
  }

  redo() {
    return this.swap(this.undone, this.done, "after");
  }

  swap(from, to, which) {
    const step = from.pop();
    if (!step) return undefined;
    to.push(step);
    this.strokes += 1;
    this.last = 0;
    this.put(step.name, step[which]);
    return step.name;
  }

  put(name, value) {
    this.values[name] = value;
    this.waiting.set(name, `${this.client.slice(0, 8)}-${this.strokes}`);
    this.changed();
    this.save();
  }

  /** Until all is stored, or there is trouble; whether it is. */
  async settle() {
    while (this.waiting.size) {
      await this.save();
      if (this.trouble) return false;
      if (this.sending) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return true;
  }

  async save() {
    if (this.sending || !this.waiting.size) return;
    this.sending = true;
    this.report(this.trouble ? "trouble" : "storing", this.trouble);
    let trouble = "";
    while (this.waiting.size && !trouble) {
      const [name, stroke] = this.waiting.entries().next().value;
      try {
        const response = await this.send(name, stroke, { signal: AbortSignal.timeout(LATE) });
        if (!response.ok) trouble = (await response.json()).error;
        else if (this.waiting.get(name) === stroke && !this.changedSince(name)) this.waiting.delete(name);
      } catch {
        trouble = NO_SERVER;
      }
    }
    this.sending = false;
    this.trouble = trouble;
    this.report(trouble ? "trouble" : "stored", trouble);
  }

  /** The page is left: a request outlives it. */
  leave() {
    for (const [name, stroke] of this.waiting) this.send(name, stroke, { keepalive: true }).catch(() => {});
  }

  changedSince(name) {
    return this.sent.name === name && this.sent.value !== this.values[name];
  }

  send(name, stroke, options) {
    const value = this.values[name];
    this.sent = { name, value };
    const body = JSON.stringify({ client: this.client, task: this.task, stroke, value });
    return fetch(`whole/${name}`, { method: "PUT", body, ...options });
  }
}
