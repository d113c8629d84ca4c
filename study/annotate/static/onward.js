// The ways on from a page: to the other page of the same recording, and to the next session of the study.

import { $, alertOf } from "./view.js";

const EVERY = 500; // ms; to ask whether the next recording is ready

/** Show them. `settle()`: whether all that was rated is stored, once it is. Gives what goes on. */
export function showWays(task, client, settle) {
  $("other").hidden = !(task.dimensions.length && task.whole.length);
  $("onward").hidden = !task.sessions;
  if (!task.sessions) return () => {};
  const [rated, all] = task.sessions;
  $("sessions").textContent = `${rated} of ${all} sessions rated`;
  const act = () => goOn(task, client, settle);
  $("onward").addEventListener("click", act);
  return act;
}

async function goOn(task, client, settle) {
  $("onward").disabled = true;
  alertOf("onward", (await settle()) && await next(task, client));
  $("onward").disabled = false;
}

/** Gives why it does not go on. */
async function next(task, client) {
  const body = JSON.stringify({ client, task: task.task });
  for (;;) {
    let answer;
    try {
      const response = await fetch("next", { method: "POST", body });
      answer = await response.json();
      if (!response.ok) return answer.error;
    } catch {
      return "No connection to enrapt annotate.";
    }
    if (answer.state === "over") return "No other session is left to rate.";
    if (answer.state === "ready") {
      location.assign("./");
      return "";
    }
    alertOf("onward", `The next recording is made playable: ${Math.round(answer.share * 100)} %`);
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
