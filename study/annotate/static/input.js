// The value: by mouse or finger on the scale, wheel, keys, gamepad.

import { Values } from "./values.js";

const STEP = 1 / 50; // of the range; of a key or the wheel
const SPEED = 0.5; // of the range a second; of a key that is held, or the stick pushed to its end
const HELD = 250; // ms
const DEAD = 0.15; // of the stick's way
const WHEEL = 100; // px of a notch

export class Scale {
  /** `change(value, stamp)`: the user chose a value. */
  constructor(element, change) {
    this.element = element;
    this.change = change;
    this.track = element.querySelector("#track");
    this.thumb = element.querySelector("#thumb");
    this.value = null;
    this.held = null; // key up or down: {sign, since}
    this.wheeled = 0;
    const follow = (event) => {
      if (event.pointerType === "mouse" ? event.type === "pointerdown" || event.isPrimary : event.buttons) {
        const { top, height } = this.track.getBoundingClientRect();
        this.choose(1 - (event.clientY - top) / height, event.timeStamp);
      }
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") element.setPointerCapture(event.pointerId);
      follow(event);
    });
    element.addEventListener("pointermove", follow);
    addEventListener("wheel", (event) => {
      if (!event.target.closest("#stage")) return;
      event.preventDefault();
      this.wheeled -= event.deltaMode ? Math.sign(event.deltaY) * WHEEL : event.deltaY;
      const notches = Math.trunc(this.wheeled / WHEEL);
      this.wheeled -= notches * WHEEL;
      if (notches) this.move(notches, event.timeStamp);
    }, { passive: false });
    addEventListener("blur", () => (this.held = null));
  }

  set dimension(dimension) {
    const { low, high, levels } = dimension;
    this.values = new Values(dimension);
    Object.assign(this, { low, high, steps: this.values.steps, names: levels });
    const marks = this.steps.length ? this.steps : [low, low + (high - low) / 2, high];
    this.element.querySelector("#ticks").replaceChildren(...marks.map((value, k) => {
      const tick = document.createElement("li");
      tick.textContent = levels[k] ?? String(Math.round(value * 1000) / 1000);
      tick.style.bottom = `${this.share(value) * 100}%`;
      return tick;
    }));
    this.element.setAttribute("aria-valuemin", low);
    this.element.setAttribute("aria-valuemax", high);
  }

  share(value) {
    return (value - this.low) / (this.high - this.low);
  }

  choose(share, stamp) {
    const value = this.low + Math.min(Math.max(share, 0), 1) * (this.high - this.low);
    this.change(this.nearest(value), stamp);
  }

  nearest(value) {
    if (!this.steps.length) return Number(value.toPrecision(6));
    return this.steps.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a));
  }

  /** By so many steps. */
  move(steps, stamp) {
    if (this.steps.length) {
      const at = this.value === null ? 0 : this.steps.indexOf(this.nearest(this.value)) + Math.sign(steps);
      this.change(this.steps[Math.min(Math.max(at, 0), this.steps.length - 1)], stamp);
    } else this.by(steps * STEP, stamp);
  }

  by(share, stamp) {
    this.choose(this.share(this.value ?? (this.low + this.high) / 2) + share, stamp);
  }

  press(sign, stamp) {
    this.move(sign, stamp);
    this.held = { sign, since: stamp };
  }

  release() {
    this.held = null;
  }

  /** What is held, `passed` ms after the last call. */
  tick(now, passed, stick) {
    if (this.steps.length) return;
    const pushed = Math.abs(stick) > DEAD ? -Math.sign(stick) * (Math.abs(stick) - DEAD) / (1 - DEAD) : 0;
    const key = this.held && now - this.held.since > HELD ? this.held.sign : 0;
    if (pushed || key) this.by((pushed || key) * SPEED * Math.min(passed, 100) / 1000, now);
  }

  show(value) {
    if (this.shown === value) return;
    this.shown = this.value = value;
    this.thumb.hidden = value === null;
    if (value === null) return this.element.removeAttribute("aria-valuenow");
    this.thumb.style.bottom = `${this.share(value) * 100}%`;
    return this.element.setAttribute("aria-valuenow", value);
  }
}

/** A gamepad, if there is one: the stick's way up or down, and buttons just pressed. */
export class Gamepad {
  constructor() {
    this.down = [];
  }

  read() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((one) => one?.connected);
    const down = pad ? pad.buttons.map((button) => button.pressed) : [];
    const pressed = down.flatMap((is, k) => (is && !this.down[k] ? [k] : []));
    this.down = down;
    const stick = pad && pad.axes.length > 1 ? pad.axes[1] : 0;
    return { stick, pressed };
  }
}
