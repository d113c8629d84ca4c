// The questions of a session: a row for each, with a button for each value, or a slider.

import { Values } from "./values.js";

const FINE = 100; // steps of a slider

function made(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  Object.assign(element, attributes);
  element.append(...content);
  return element;
}

class Question {
  /** `choose(value)`: the rater chose one; null: none. */
  constructor(dimension, choose) {
    this.name = dimension.name;
    this.values = new Values(dimension);
    this.answer = made("output");
    this.clear = made("button", { type: "button", className: "clear", onclick: () => choose(null) }, "Remove ");
    this.clear.append(made("kbd", {}, "X"));
    this.inputs = this.values.steps.length ? this.buttons(choose) : [this.slider(choose)];
    const { low, high } = dimension, slider = !this.values.steps.length;
    const scale = made("div", { className: slider ? "range" : "steps" });
    if (slider) scale.append(made("span", {}, String(low)), this.inputs[0], made("span", {}, String(high)), this.answer);
    else scale.append(...this.inputs.map((input) => input.parentElement));
    const legend = made("legend", {}, dimension.question || `How high is ${dimension.name}?`);
    this.element = made("fieldset", { id: `question-${dimension.name}` }, legend, scale, this.clear);
  }

  buttons(choose) {
    return this.values.steps.map((value, step) => {
      const input = made("input", { type: "radio", name: this.name, value });
      input.addEventListener("change", () => choose(value));
      const key = this.values.key(step), name = this.values.name(step);
      made("label", {}, input, made("span", {}, name), ...(key === undefined || String(key) === name ? [] : [made("kbd", {}, key)]));
      return input;
    });
  }

  slider(choose) {
    const { low, high } = this.values, step = (high - low) / FINE;
    const input = made("input", { type: "range", min: low, max: high, step, value: (low + high) / 2 });
    input.setAttribute("aria-label", this.name);
    const take = () => choose(Number(Number(input.value).toPrecision(6)));
    input.addEventListener("input", () => this.say(Number(input.value)));
    input.addEventListener("change", take);
    input.addEventListener("pointerup", take); // also where it stood, which is no change
    return input;
  }

  say(value) {
    this.answer.textContent = value === null ? "not rated" : String(Math.round(value * 1000) / 1000);
    this.element.classList.toggle("rated", value !== null);
  }

  show(value) {
    this.say(value);
    this.clear.hidden = value === null;
    const near = (this.values.high - this.values.low) * 1e-6;
    for (const input of this.inputs) {
      if (input.type === "range") input.value = value ?? (this.values.low + this.values.high) / 2;
      else input.checked = value !== null && Math.abs(Number(input.value) - value) < near;
    }
  }
}

export class Questions {
  /** `choose(name, value)`: the rater chose a value. */
  constructor(section, dimensions, choose) {
    this.rows = dimensions.map((dimension) => new Question(dimension, (value) => choose(dimension.name, value)));
    section.replaceChildren(...this.rows.map(({ element }) => element));
    this.rows.forEach(({ element }, k) => {
      for (const kind of ["focusin", "pointerdown"]) element.addEventListener(kind, () => this.go(k));
    });
    this.go(0);
  }

  /** The keys are for this one now. */
  go(k) {
    this.current = Math.min(Math.max(k, 0), this.rows.length - 1);
    this.rows.forEach(({ element }, j) => element.setAttribute("aria-current", j === this.current));
    this.rows[this.current].element.scrollIntoView({ block: "nearest" });
  }

  get row() {
    return this.rows[this.current];
  }

  goTo(name) {
    this.go(this.rows.findIndex((row) => row.name === name));
  }

  next() {
    this.go((this.current + 1) % this.rows.length);
  }

  show(values) {
    for (const row of this.rows) row.show(values[row.name]);
  }
}
