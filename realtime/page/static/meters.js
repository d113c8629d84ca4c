// Bars and tables. Text nodes are written only where they change.

export function element(name, text = "", attributes = {}) {
  const node = document.createElement(name);
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export function setText(node, text) {
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
    const present = value !== null && value !== undefined;
    if (label) setText(this.label, label);
    setText(this.number, present ? value.toFixed(this.digits).replace("-", "−") + this.unit : "–");
    this.row.dataset.value = present ? value : "";
    const part = present ? (value - this.low) / (this.high - this.low || 1) : 0;
    // A transform causes no layout; a width would.
    this.bar.style.transform = `scaleX(${Math.max(this.signed ? -1 : 0, Math.min(1, part))})`;
  }
}

/** Rows of text; the first column heads its row. */
export function table(node, rows, head = null) {
  const text = JSON.stringify([head, rows]);
  if (node.shown === text) return;
  node.shown = text;
  const line = (cells, kind) => {
    const tr = element("tr");
    tr.append(...cells.map((cell, i) => element(i && kind === "td" ? "td" : "th", cell)));
    return tr;
  };
  node.replaceChildren(...(head ? [line(head, "th")] : []), ...rows.map((row) => line(row, "td")));
}

/** Numbers of a tree that are not 0, each with its path. */
export function leaves(tree, path = []) {
  if (typeof tree === "number") return tree ? [[path.join(" "), String(tree)]] : [];
  return Object.entries(tree ?? {}).flatMap(([name, branch]) => leaves(branch, [...path, name]));
}
