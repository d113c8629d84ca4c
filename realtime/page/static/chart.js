// The last minute: engagement as a line in its interval, and below it a strip per modality, on one time axis.

const STALE = 250; // ms; age at which a strip is lowest: the largest max_age of the schemas
const LEFT = 46, TOP = 8, AXIS = 20; // px
const LARGE = { strip: 20, space: 6, values: [0, 0.5, 1] };
const SMALL = { strip: 8, space: 3, values: [0, 1] }; // without names of the modalities

export class Chart {
  constructor(canvas, small = false) {
    this.canvas = canvas;
    this.small = small;
    Object.assign(this, small ? SMALL : LARGE);
    this.context = canvas.getContext("2d");
    // Sizes and colours are read when they change, never in a frame: reading them forces layout.
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    this.colour();
    this.resize();
  }

  colour() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "soft", "line", "blue", "band", "orange"];
    this.ink = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
    const tile = new OffscreenCanvas(6, 6), draw = tile.getContext("2d");
    draw.strokeStyle = this.ink.orange;
    draw.lineWidth = 1.2;
    for (const x of [-6, 0, 6]) {
      draw.moveTo(x, 6);
      draw.lineTo(x + 6, 0);
    }
    draw.stroke();
    this.hatch = this.context.createPattern(tile, "repeat");
    this.stale = true;
  }

  resize() {
    const { canvas, context } = this;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * devicePixelRatio);
    canvas.height = Math.round(this.height * devicePixelRatio);
    context.scale(devicePixelRatio, devicePixelRatio);
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    this.stale = true;
  }

  /** Draw `run` up to the time `end`. */
  draw(run, end, modalities) {
    const { context, width, height, ink } = this;
    this.stale = false;
    context.clearRect(0, 0, width, height);
    const bottom = height - AXIS - modalities.length * (this.strip + this.space);
    const x = (t) => width - ((end - t) / run.span) * (width - LEFT);
    const y = (value) => bottom - value * (bottom - TOP);

    context.lineWidth = 1;
    context.fillStyle = ink.soft;
    context.strokeStyle = ink.line;
    context.textAlign = "right";
    for (const value of this.values) {
      context.fillText(value, LEFT - 8, y(value));
      stroke(context, [[LEFT, y(value)], [width, y(value)]]);
    }
    for (const [i, name] of this.small ? [] : modalities.entries()) {
      context.fillText(name, LEFT - 8, this.stripAt(bottom, i) + this.strip / 2, LEFT - 10);
    }

    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width - LEFT, height);
    context.clip();
    this.times(x, end - run.span, end);
    const rows = run.between(end - run.span, end);
    for (const segment of segments(rows, () => true, 3 * run.step)) {
      context.beginPath();
      for (const row of segment) context.lineTo(x(row.t), y(row.engagement.high));
      for (const row of segment.toReversed()) context.lineTo(x(row.t), y(row.engagement.low));
      context.fillStyle = ink.band;
      context.fill();
      context.strokeStyle = ink.blue;
      context.lineWidth = 2;
      stroke(context, segment.map((row) => [x(row.t), y(row.engagement.mean)]));
    }
    modalities.forEach((name, i) => this.presence(name, rows, x, this.stripAt(bottom, i), run.step));
    this.drawMarks(run.marks, x, bottom);
    context.restore();
  }

  stripAt(bottom, i) {
    return bottom + this.space + i * (this.strip + this.space);
  }

  times(x, start, end) {
    const { context, width, height, ink } = this;
    const every = width < 500 ? 20 : 10; // s
    context.fillStyle = ink.soft;
    context.textAlign = "center";
    for (let t = Math.max(0, Math.ceil(start / every) * every); t <= end; t += every) {
      stroke(context, [[x(t), TOP], [x(t), height - AXIS]]);
      context.fillText(clock(t), Math.min(x(t), width - 14), height - AXIS / 2);
    }
  }

  /** Filled while present, higher for fresher values; hatched while missing. */
  presence(name, rows, x, top, step) {
    const { context, ink, strip } = this;
    for (const segment of segments(rows, (row) => row.present[name] === true, 3 * step)) {
      const from = x(segment[0].t), to = x(segment.at(-1).t + step);
      context.beginPath();
      if (segment[0].present[name]) {
        context.moveTo(from, top + strip);
        for (const row of segment) {
          const level = top + strip * 0.8 * Math.min(1, (row.age_ms?.[name] ?? 0) / STALE);
          context.lineTo(x(row.t), level);
          context.lineTo(x(row.t + step), level);
        }
        context.lineTo(to, top + strip);
        context.fillStyle = ink.blue;
        context.fill();
      } else {
        context.rect(from, top, to - from, strip);
        this.hatch.setTransform(new DOMMatrix().translate(from, top)); // it moves with time
        context.fillStyle = this.hatch;
        context.fill();
        context.strokeStyle = ink.orange;
        context.lineWidth = 1;
        context.strokeRect(from, top + 0.5, to - from, strip - 1);
      }
    }
  }

  drawMarks(marks, x, bottom) {
    const { context, ink, width } = this;
    context.strokeStyle = context.fillStyle = ink.ink;
    context.lineWidth = 1;
    for (const { t, label } of marks) {
      const at = x(t), left = at > width - 80;
      context.setLineDash([3, 3]);
      stroke(context, [[at, TOP], [at, bottom]]);
      context.setLineDash([]);
      if (this.small) continue;
      context.fillText("▼", at, TOP);
      context.textAlign = left ? "right" : "left";
      context.fillText(label, at + (left ? -7 : 7), TOP + 2);
      context.textAlign = "center";
    }
  }
}

/** 75 is 1:15. */
export function clock(t) {
  const whole = Math.floor(t + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function stroke(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/** Segments over which `key(row)` stays the same, without a gap longer than `gap` seconds. */
function* segments(rows, key, gap) {
  let from = 0;
  for (let i = 1; i <= rows.length; i++) {
    if (i < rows.length && key(rows[i]) === key(rows[i - 1]) && rows[i].t - rows[i - 1].t <= gap) continue;
    if (i > from) yield rows.slice(from, i);
    from = i;
  }
}
