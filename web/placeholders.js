/** What stands in for a conversation that is not there yet, or cannot be shown. */

import { h, icon } from "./dom.js";
import { problemText } from "./format.js";

/** Return the outline of a conversation that is being loaded. */
export function skeleton() {
  const lines = ["short", "", "", "medium"].map((width) => h("span", { class: `line ${width}`.trim() }));
  return h("div", { class: "skeleton", role: "img", "aria-label": "Loading the conversation" }, ...lines);
}

/** Return a notice that says what is wrong, with a Retry button where that can help. */
export function errorNotice(problem, onRetry) {
  const button = h("button", { type: "button", class: "pill", onclick: onRetry }, icon("retry"), "Retry");
  const words = h("div", {}, h("p", {}, problemText(problem)));
  return h("div", { class: "notice", role: "alert" }, icon("alert"), words, problem?.type !== "thread_not_found" && button);
}
