// The small things beside the chart: bars and tables. Text is touched only where it changes.

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A bar from `low` to `high`, or from 0 in the middle both ways if `signed`, with its number. */
export class Meter {
  constructor(parent, label, { high = 1, signed = false, unit = "", digits = 2, low = 0 } = {}) {
    Object.assign(this, { high, low, signed, unit, digits });
    this.row = element("div", "", { class: signed ? "meter signed" : "meter" });
    this.label = element("span", label);
    this.track = element("i", "", { "aria-hidden": "true" });
    this.bar = element("b");
    this.number = element("span", "–");
    this.track.append(this.bar);
    this.row.append(this.label, this.track, this.number);
    parent.append(this.row);
  }

  show(value, label) {
    const there = value !== null && value !== undefined;
    if (label) say(this.label, label);
    say(this.number, there ? value.toFixed(this.digits).replace("-", "−") + this.unit : "–");
    this.row.dataset.value = there ? value : "";
    const part = there ? (value - this.low) / (this.high - this.low || 1) : 0;
    // A transform moves no other element; a width would lay the page out anew.
    this.bar.style.transform = `scaleX(${Math.max(this.signed ? -1 : 0, Math.min(1, part))})`;
  }
}

/** Rows of text; the first column heads its row. */
export function table(node, rows, head = null) {
  const text = JSON.stringify([head, rows]);
  if (node.told === text) return;
  node.told = text;
  const line = (cells, kind) => {
    const tr = element("tr");
    tr.append(...cells.map((cell, i) => element(i && kind === "td" ? "td" : "th", cell)));
    return tr;
  };
  node.replaceChildren(...(head ? [line(head, "th")] : []), ...rows.map((row) => line(row, "td")));
}

/** Numbers of a tree that are not 0, each with the names on the way to it. */
export function leaves(tree, path = []) {
  if (typeof tree === "number") return tree ? [[path.join(" "), String(tree)]] : [];
  return Object.entries(tree ?? {}).flatMap(([name, branch]) => leaves(branch, [...path, name]));
}
