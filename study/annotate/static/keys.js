// The keyboard.

/**
 * `keys`: by key, a function of the event, or the id of a button that `click(id, event)` acts for;
 * `digit(number)`: what a digit's key does, undefined if nothing.
 */
export function bindKeys(keys, digit, click) {
  addEventListener("keydown", (event) => {
    const { target } = event, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.altKey || target.closest("select, dialog")) return;
    if (target.matches("input") && usesItself(target, key)) return;
    if ((event.ctrlKey || event.metaKey) && !"zy".includes(key)) return;
    if ((key === " " || key === "Enter") && target.closest("button")) return;
    const act = /^[0-9]$/.test(key) ? digit(Number(key)) : keys[key];
    if (!act) return;
    event.preventDefault();
    if (event.repeat && !["ArrowLeft", "ArrowRight"].includes(key)) return;
    if (typeof act === "function") act(event);
    else click(act, event);
  });
}

/** Whether a radio button or a slider does something of its own with a key. */
function usesItself(input, key) {
  return key.startsWith("Arrow") || key.startsWith("Page") || key === "Home" || key === "End"
    || (key === " " && input.type === "radio" && !input.checked);
}
