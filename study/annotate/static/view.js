// Parts of the page that change with the task.

import { clock } from "./chart.js";

export const $ = (id) => document.getElementById(id);

const alerts = new Map();

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** An alert of a kind, or none with an empty text. */
export function alertOf(kind, text) {
  if ((alerts.get(kind) ?? "") === text) return;
  alerts.set(kind, text);
  $("alerts").replaceChildren(...[...alerts.values()].filter(Boolean).map((line) => element("li", line)));
}

/** A button for each value of a scale with steps. */
export function showSteps(section, scale, choose) {
  section.hidden = !scale.steps.length;
  section.replaceChildren(...scale.steps.map((value, step) => {
    const button = document.createElement("button"), name = scale.names[step];
    button.append(...(name ? [name, " "] : []), element("kbd", scale.values.key(step) ?? scale.values.name(step)));
    button.onclick = (event) => choose(value, event.timeStamp);
    return button;
  }));
}

/** A button for each stretch that is offered. */
export function showStretches(list, stretches, seek) {
  list.replaceChildren(...stretches.map(({ start, end, why }) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.append(`${clock(start)} – ${clock(end)} `, element("small", why));
    button.onclick = () => seek(start);
    item.append(button);
    return item;
  }));
}
