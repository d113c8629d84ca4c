// The run: its estimates in order of time, its marks, and a smooth clock.

const SPAN = 60; // s
const KEPT = 75; // s of a live run; somewhat more than shown
const BEHIND = 0.1; // s that the chart is behind, so that there is a next tick even when one is late
const JUMP = 0.5; // s; a clock that is further off is set instead of adjusted

export class Run {
  constructor() {
    this.hello = this.status = null;
    this.clear();
  }

  clear() {
    this.rows = []; // estimates; those of the history have neither ages nor features
    this.marks = [];
    this.clock = null;
  }

  get newest() {
    return this.rows.at(-1);
  }

  get step() {
    return 1 / (this.hello?.rate ?? 25);
  }

  /** Seconds that the chart shows. */
  get span() {
    return Math.min(SPAN, this.hello?.duration ?? SPAN);
  }

  add(estimate) {
    estimate.arrived = performance.now() / 1000;
    const i = this.indexAt(estimate.t); // the end, unless the history was faster
    this.rows.splice(i, this.rows[i]?.t === estimate.t ? 1 : 0, estimate);
    if (this.hello?.kind === "replay" || this.rows.length % 250) return;
    const old = this.newest.t - KEPT;
    this.rows.splice(0, this.indexAt(old));
    this.marks = this.marks.filter((mark) => mark.t > old);
  }

  /** Add the estimates of `/history`, made before this page connected. */
  remember(history) {
    const known = new Map(this.rows.map((row) => [row.t, row]));
    let same = false; // whether the history is of the run shown so far
    const past = history.t.map((t, i) => {
      const engagement = { mean: history.mean[i], low: history.low[i], high: history.high[i] };
      if (known.get(t)?.engagement.mean === engagement.mean) {
        same = true;
        return known.get(t);
      }
      const present = Object.entries(history.present).map(([name, values]) => [name, Boolean(values[i])]);
      return { t, engagement, present: Object.fromEntries(present) };
    });
    const last = past.at(-1)?.t ?? -Infinity;
    this.rows = past.concat(this.rows.filter((row) => row.t > last && row.arrived > this.since));
    if (!same) this.marks = this.marks.filter((mark) => mark.arrived > this.since);
  }

  /** The first row at or after `t`. */
  indexAt(t) {
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].t < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Rows from `start` to `end`, and one more on either side. */
  between(start, end) {
    return this.rows.slice(Math.max(0, this.indexAt(start) - 1), this.indexAt(end) + 1);
  }

  /** The newest row not later than `t`. */
  rowAt(t) {
    return this.rows[Math.max(0, this.indexAt(t + 1e-6) - 1)];
  }

  /** The chart's time at this frame: it runs evenly and is adjusted gently to the ticks. */
  advance(now) {
    if (!this.newest) return null;
    const aim = this.newest.t + Math.min(0, now - (this.newest.arrived ?? 0) - BEHIND);
    const elapsed = now - (this.advanced ?? now);
    this.advanced = now;
    const error = aim - (this.clock ?? -Infinity) - elapsed;
    const adjusted = Math.abs(error) > JUMP ? aim : this.clock + elapsed + error * Math.min(1, 2 * elapsed);
    return (this.clock = Math.min(this.newest.t, Math.max(this.clock ?? 0, adjusted)));
  }
}
