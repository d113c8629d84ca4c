// Sends what was changed to the server, which confirms when it is on the disk.

const EVERY = 1000; // ms
const LATE = 4000; // ms for an answer
export const NO_SERVER = "No connection to enrapt annotate. What was drawn since then is kept on this page: start it again, "
  + "do not close the page.";

export class Store {
  /** `task`: its key; `report(state, text)`: "stored", "storing" or "trouble"; `answered(body)`: of the server. */
  constructor(client, task, report, answered) {
    Object.assign(this, { client, task, report, answered });
    this.editor = null;
    this.dimension = null;
    this.sending = null;
    this.trouble = "";
    this.paused = false; // while nothing is to be stored
    setInterval(() => this.save(), EVERY);
    addEventListener("pagehide", () => this.leave());
  }

  use(dimension, editor) {
    this.dimension = dimension;
    this.editor = editor;
  }

  get pending() {
    return this.sending !== null || this.editor?.dirty != null;
  }

  async save() {
    if (this.paused || this.sending || !this.editor) return;
    const { editor } = this, edit = editor.take();
    if (!edit) return;
    this.sending = edit;
    this.report(this.trouble ? "trouble" : "storing", this.trouble);
    let trouble = "", body = null;
    try {
      const response = await this.put(edit, { signal: AbortSignal.timeout(LATE) });
      body = await response.json();
      if (!response.ok) trouble = body.error;
    } catch {
      trouble = NO_SERVER;
    }
    this.sending = null;
    if (trouble) editor.touch(edit.start, edit.end); // sent again, with what is drawn meanwhile
    else if (editor === this.editor) this.answered(body);
    this.trouble = trouble;
    this.report(trouble ? "trouble" : "stored", trouble);
  }

  /** Until all is stored, or there is trouble. */
  async settle() {
    while (this.pending && !this.paused) {
      await this.save();
      if (this.trouble) return false;
      if (this.sending) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return true;
  }

  /** The page is left: a request outlives it; one that is under way may not, so its edit is in it, too. */
  leave() {
    if (this.paused || !this.editor) return;
    if (this.sending) this.editor.touch(this.sending.start, this.sending.end);
    this.editor.end();
    const edit = this.editor.take();
    if (edit) this.put(edit, { keepalive: true }).catch(() => this.editor.touch(edit.start, edit.end));
  }

  put(edit, options) {
    const body = JSON.stringify({ client: this.client, task: this.task, ...edit });
    return fetch(`labels/${this.dimension}`, { method: "PUT", body, ...options });
  }

  async load(dimension) {
    const response = await fetch(`labels/${dimension}?client=${this.client}`);
    if (!response.ok) throw new Error((await response.json()).error);
    return response.json();
  }
}
