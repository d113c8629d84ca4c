// Several people with estimates of their own: a strip each.

import { Chart } from "./chart.js";
import { element, setText } from "./meters.js";
import { Run } from "./run.js";

export class People {
  /** Calls `choose(person)` when a person's button is clicked. */
  constructor(section, choose) {
    Object.assign(this, { section, choose });
    this.shown = null; // id of the one who is shown large
    this.followed = null; // id of the one who is followed
    this.byId = new Map(); // run, chart, button
  }

  get ids() {
    return [...this.byId.keys()];
  }

  /** Have strips of these people only; `run`: what is common to all. */
  set(ids, run) {
    for (const [id, { row }] of this.byId) {
      if (!ids.includes(id)) {
        row.remove();
        this.byId.delete(id);
      }
    }
    for (const id of ids) if (!this.byId.has(id)) this.add(id, run);
    this.section.hidden = !ids.length;
  }

  add(id, run) {
    const own = new Run();
    own.hello = run.hello;
    own.since = run.since;
    const row = element("div", "", { class: "person", "data-person": id });
    const button = element("button", "", { type: "button" });
    const mean = element("output", "–");
    const canvas = element("canvas", "", { role: "img", "aria-label": `Engagement of person ${id}` });
    button.append(`person ${id} `, ...(id < 10 ? [element("kbd", String(id))] : []));
    button.onclick = () => this.choose(id);
    row.append(button, mean, canvas);
    const after = this.ids.filter((other) => other > id).sort((a, b) => a - b)[0];
    this.section.insertBefore(row, after === undefined ? null : this.byId.get(after).row);
    this.byId.set(id, { run: own, chart: new Chart(canvas, true), row, button, mean });
  }

  show(id) {
    this.shown = id;
    for (const [other, { button }] of this.byId) button.setAttribute("aria-pressed", other === id);
  }

  /** Draw all up to the time `end` of the run that is shown large. */
  draw(run, end, modalities) {
    for (const { run: own, chart, mean } of this.byId.values()) {
      own.hello = run.hello;
      own.marks = run.marks;
      chart.draw(own, end, modalities);
      const row = own.newest && own.rowAt(end + own.step);
      const now = row && row.t > end - 1 ? row.engagement.mean.toFixed(2) : "–";
      setText(mean, now);
    }
  }
}
