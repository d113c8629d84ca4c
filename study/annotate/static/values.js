// The values of a dimension's scale that has steps, and their keys.

export class Values {
  constructor({ low, high, levels, values, kind }) {
    const most = kind === "session" ? 10 : 9, whole = Number.isInteger(low) && Number.isInteger(high);
    const integers = kind !== "trace" && whole && high - low > 1 && high - low <= most // 0 to 1 is a range
      ? Array.from({ length: high - low + 1 }, (_, k) => low + k) : [];
    this.low = low;
    this.high = high;
    this.names = levels;
    this.steps = values.length ? values : integers; // empty: any value of the range
  }

  name(step) {
    return this.names[step] ?? String(Math.round(this.steps[step] * 1000) / 1000);
  }

  /** The digit of a step, as written on its button; undefined where there is none. */
  key(step) {
    const value = this.steps[step], own = !this.names.length && this.low >= 0 && this.low < 10;
    const key = own && Number.isInteger(value) && (this.high < 10 || this.low === 0) ? value : step + 1;
    return key < 10 ? key : undefined;
  }

  /** The value of a digit's key, or undefined. */
  ofDigit(digit) {
    if (this.steps.length) return this.steps.find((_, step) => this.key(step) === digit);
    return digit ? this.low + (digit - 1) / 8 * (this.high - this.low) : undefined;
  }
}
