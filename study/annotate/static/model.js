// Ratings while they are made: segments [start, end, value, confidence], seconds, sorted, without overlap.
// What `segments.py` does on the server, with strokes and undo.

const GAP = 0.5; // s
const AT_ONCE = 5000; // segments; as many arguments may a call have

export class Ratings {
  constructor(segments = []) {
    this.segments = segments;
  }

  /** Index of the first segment for which `later` holds. */
  first(later) {
    let low = 0, high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (later(this.segments[middle])) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  range(from, to) {
    const first = this.first((segment) => segment[1] > from);
    return [first, Math.max(first, this.first((segment) => segment[0] >= to))];
  }

  /** What there is from `from` to `to`, cut to it. */
  between(from, to) {
    const [first, last] = this.range(from, to);
    return this.segments.slice(first, last).map(([start, end, ...rest]) =>
      [Math.max(start, from), Math.min(end, to), ...rest]);
  }

  /** Put `inserted` in the place of all that there is from `from` to `to`. */
  replace(from, to, inserted) {
    const [first, last] = this.range(from, to), { segments } = this;
    let pieces = inserted.map((segment) => [...segment]);
    if (first < last && segments[first][0] < from) {
      const [start, , ...rest] = segments[first];
      pieces = [[start, from, ...rest], ...pieces];
    }
    if (first < last && segments[last - 1][1] > to) {
      const [, end, ...rest] = segments[last - 1];
      pieces.push([to, end, ...rest]);
    }
    if (pieces.length < AT_ONCE) segments.splice(first, last - first, ...pieces);
    else this.segments = segments.slice(0, first).concat(pieces, segments.slice(last));
  }

  /** The segment at a time, or undefined. */
  at(time) {
    const segment = this.segments[this.first((one) => one[1] > time)];
    return segment && segment[0] <= time ? segment : undefined;
  }

  /** The first time from `time` on without a rating, but for moments such as that before the first value. */
  firstGap(time) {
    let end = time;
    for (const [start, stop] of this.segments) {
      if (start > end + GAP) break;
      end = Math.max(end, stop);
    }
    return end;
  }

  rated(from = -Infinity, to = Infinity) {
    return this.between(from, to).reduce((sum, [start, end]) => sum + end - start, 0);
  }
}

export const rounded = (time) => Math.round(time * 1000) / 1000;

/** Changes ratings in strokes, each of which can be undone. */
export class Editor {
  constructor(segments = [], name = "") {
    this.ratings = new Ratings(segments);
    this.name = name; // that no other page's strokes have
    this.strokes = 0;
    this.stroke = null; // being drawn: {start, end, value, before}
    this.undone = [];
    this.done = [];
    this.dirty = null; // what is not stored yet: {start, end}
  }

  get drawing() {
    return this.stroke !== null;
  }

  /** Draw from `time` on. A value of null: not rated. */
  begin(time, value) {
    this.end();
    const start = rounded(time);
    this.strokes += 1;
    this.stroke = { start, end: start, value, before: [] };
  }

  /** The value changed at `time`, which may be a little before what was drawn last. */
  set(value, time) {
    const { stroke } = this;
    if (!stroke || value === stroke.value) return;
    const at = Math.max(rounded(time), stroke.start);
    this.advance(at);
    stroke.value = value;
    if (at < stroke.end) this.paint(at, stroke.end, value);
  }

  /** Draw up to `time`. */
  advance(time) {
    const { stroke } = this, to = rounded(time);
    if (!stroke || to <= stroke.end) return;
    stroke.before.push(...this.ratings.between(stroke.end, to));
    this.paint(stroke.end, to, stroke.value);
    stroke.end = to;
  }

  /** End the stroke, at `time` or where it was drawn to. */
  end(time = -Infinity) {
    this.advance(time);
    const { stroke } = this;
    this.stroke = null;
    if (stroke && stroke.end > stroke.start) this.remember(stroke);
  }

  /** A rating of a stretch of time as a stroke of its own. */
  write(from, to, value) {
    this.end();
    const start = rounded(from), end = rounded(to);
    if (end <= start) return;
    this.strokes += 1;
    this.remember({ start, end, before: this.ratings.between(start, end) });
    this.ratings.replace(start, end, value === null ? [] : [[start, end, value]]);
    this.touch(start, end);
  }

  paint(from, to, value) {
    const { ratings } = this;
    const left = ratings.segments[ratings.first((segment) => segment[1] >= from)];
    if (value !== null && left && left[1] === from && left[2] === value && left[3] == null) {
      ratings.replace(from, to, []);
      left[1] = to; // as many segments as changes
    } else {
      ratings.replace(from, to, value === null ? [] : [[from, to, value]]);
    }
    this.touch(from, to);
  }

  remember(step) {
    this.done.push(step);
    this.undone = [];
  }

  touch(start, end) {
    const { dirty } = this;
    this.dirty = dirty
      ? { start: Math.min(dirty.start, start), end: Math.max(dirty.end, end) }
      : { start, end };
  }

  /** Take back the last stroke; gives its time, or undefined if there is none. */
  undo() {
    this.end();
    return this.swap(this.done, this.undone);
  }

  redo() {
    this.end();
    return this.swap(this.undone, this.done);
  }

  swap(from, to) {
    const step = from.pop();
    if (!step) return undefined;
    const { start, end, before } = step;
    to.push({ start, end, before: this.ratings.between(start, end) });
    this.ratings.replace(start, end, before);
    this.touch(start, end);
    this.strokes += 1;
    return start;
  }

  /** What is to be stored, as the server takes it; null if nothing is. */
  take() {
    if (!this.dirty) return null;
    const { start, end } = this.dirty;
    this.dirty = null;
    return { stroke: `${this.name}-${this.strokes}`, start, end, segments: this.ratings.between(start, end) };
  }
}
