// The curve so far, scrolling with the time, and below it what is rated of the whole recording.

const LEFT = 34, TOP = 8, BOTTOM = 20; // px
const SECOND_WIDTH = 32; // px

export const clock = (seconds) => {
  const s = Math.max(Math.round(seconds), 0), minutes = Math.floor(s / 60) % 60, hours = Math.floor(s / 3600);
  const two = (number) => String(number).padStart(2, "0");
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(s % 60)}`;
};

class Canvas {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    this.colour();
    this.resize();
  }

  colour() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "soft", "line", "blue", "band", "orange", "red"];
    this.ink = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  }

  resize() {
    const { canvas, context } = this, scale = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * scale);
    canvas.height = Math.round(this.height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
  }
}

export class Chart extends Canvas {
  /** `now`: {time, value, dimension, ratings, open, recording}; `task`: offset, duration, estimate, given. */
  draw(now, task, stretches) {
    const { context: c, ink, width, height } = this, { dimension, time } = now;
    const bottom = height - BOTTOM;
    const x = (t) => LEFT + (width - LEFT) * 0.62 + (t - time) * SECOND_WIDTH;
    const y = (v) => bottom - (v - dimension.low) / (dimension.high - dimension.low) * (bottom - TOP);
    const from = time - (x(time) - LEFT) / SECOND_WIDTH, to = time + (width - x(time)) / SECOND_WIDTH;
    c.clearRect(0, 0, width, height);
    c.save();
    c.beginPath();
    c.rect(LEFT, 0, width - LEFT, height);
    c.clip();
    c.fillStyle = ink.line;
    const begin = task.offset, end = task.offset + task.duration;
    if (x(begin) > LEFT) c.fillRect(LEFT, TOP, x(begin) - LEFT, bottom - TOP);
    if (x(end) < width) c.fillRect(x(end), TOP, width - x(end), bottom - TOP);
    for (const stretch of stretches) this.stretch(x(stretch.start), x(stretch.end), bottom);
    this.estimate(task.estimate, from, to, x, y);
    for (const [start, stop] of task.given) {
      c.strokeStyle = ink.soft;
      if (stop > from && start < to) c.strokeRect(x(start), TOP + 0.5, x(stop) - x(start), bottom - TOP - 1);
    }
    if (now.open !== null) {
      c.fillStyle = ink.band;
      c.fillRect(x(now.open), TOP, Math.max(x(time) - x(now.open), 1), bottom - TOP);
    }
    this.ratings(now.ratings.between(from, to), dimension.kind, x, y, bottom);
    this.times(Math.max(from, begin), Math.min(to, end), x, bottom);
    c.strokeStyle = now.recording ? ink.red : ink.ink;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(x(time), TOP);
    c.lineTo(x(time), bottom);
    c.stroke();
    if (now.value !== null) {
      c.fillStyle = c.strokeStyle;
      c.beginPath();
      c.arc(x(time), y(now.value), 5, 0, 7);
      c.fill();
    }
    c.restore();
    c.fillStyle = ink.soft;
    c.textAlign = "right";
    for (const v of [dimension.low, (dimension.low + dimension.high) / 2, dimension.high]) {
      c.fillText(String(Math.round(v * 100) / 100), LEFT - 6, Math.min(Math.max(y(v), TOP + 4), bottom - 4));
    }
  }

  ratings(segments, kind, x, y, bottom) {
    const { context: c, ink } = this;
    c.fillStyle = ink.band;
    c.strokeStyle = ink.blue;
    c.lineWidth = 2;
    c.beginPath();
    let last = null;
    for (const [start, end, value] of segments) {
      const left = x(start), right = x(end), top = y(value);
      c.fillRect(left, top, right - left, bottom - top);
      if (kind === "trace" && last === start) c.lineTo(left, top);
      else c.moveTo(left, top);
      if (kind === "interval") {
        c.moveTo(left, bottom);
        c.lineTo(left, top);
        c.lineTo(right, top);
        c.lineTo(right, bottom);
      } else c.lineTo(right, top);
      last = end;
    }
    c.stroke();
  }

  estimate(rows, from, to, x, y) {
    const seen = (rows ?? []).filter(([t]) => t >= from - 1 && t <= to + 1);
    if (!seen.length) return;
    const { context: c, ink } = this;
    c.strokeStyle = ink.orange;
    c.lineWidth = 1.5;
    for (const column of [1, 2, 3]) {
      c.setLineDash(column > 1 ? [2, 4] : []);
      c.beginPath();
      for (const row of seen) c.lineTo(x(row[0]), y(row[column]));
      c.stroke();
    }
    c.setLineDash([]);
  }

  stretch(left, right, bottom) {
    const { context: c, ink } = this;
    c.fillStyle = ink.orange;
    c.fillRect(left, TOP, right - left, 3);
    c.fillRect(left, bottom - 3, right - left, 3);
  }

  times(from, to, x, bottom) {
    const { context: c, ink } = this;
    c.fillStyle = ink.soft;
    c.strokeStyle = ink.line;
    c.lineWidth = 1;
    c.textAlign = "center";
    c.beginPath();
    for (let t = Math.ceil(from / 5) * 5; t <= to; t += 5) {
      c.moveTo(x(t), TOP);
      c.lineTo(x(t), bottom);
      c.fillText(clock(t), x(t), bottom + 11);
    }
    c.stroke();
  }
}

export class Overview extends Canvas {
  constructor(canvas, task, seek) {
    super(canvas);
    this.task = task;
    const go = (event) => seek(task.offset + event.offsetX / this.width * task.duration);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && go(event));
  }

  draw(now, stretches) {
    const { context: c, ink, width, height, task } = this;
    const x = (t) => (t - task.offset) / task.duration * width;
    c.clearRect(0, 0, width, height);
    c.fillStyle = ink.line;
    c.fillRect(0, 5, width, height - 10);
    c.fillStyle = ink.blue;
    let last = null, begun = null;
    for (const [start, end] of [...now.ratings.segments, [Infinity, Infinity]]) {
      if (last !== null && x(start) - x(last) < 0.5) {
        last = end;
        continue;
      }
      if (last !== null) c.fillRect(x(begun), 5, Math.max(x(last) - x(begun), 1), height - 10);
      [begun, last] = [start, end];
    }
    c.fillStyle = ink.orange;
    for (const { start, end } of stretches) c.fillRect(x(start), 0, Math.max(x(end) - x(start), 2), 4);
    c.fillStyle = ink.ink;
    c.fillRect(x(now.time) - 1.5, 0, 3, height);
  }
}
