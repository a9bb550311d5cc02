/** What a paused answer asks: a card for each call that waits, decided about all at once. */

import { announce, h, icon } from "./dom.js";
import { fill, inLanguage, loadTools, toolView } from "./tools.js";

const MAX_REASON = 2000;
const NOT_HERE = "not available here";
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
// What is not seen, or turns what is seen around; joiners are letters' own in some languages.
const HIDDEN = /(?![\u200c\u200d])[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Return text in which nothing hides: who allows a call reads what the tool gets. */
function visible(text) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(HIDDEN, (found) => found.split("").map(escape).join(""));
}

/** The cards of one answer; `onDecide` gets the body for the API once every call is decided about. */
export class DecisionsView {
  #calls = [];
  #decided = new Map();
  #expired = false;
  #timer = null;

  constructor(onDecide) {
    this.onDecide = onDecide;
    this.element = h("div", { class: "decisions", hidden: true });
  }

  get isOpen() {
    return this.#calls.length > 0;
  }

  /** Show the open calls of a message, if it has any. */
  show(message) {
    const calls = message.status === "paused" ? (message.tool_calls ?? []).filter((call) => call.status === "open") : [];
    this.#calls = calls;
    this.#expired = false;
    this.#decided.clear();
    this.#render();
    this.#awaitEnd();
    if (calls.length) loadTools().then(() => this.#calls === calls && this.#update());
  }

  /** Show no cards any more, and return the calls that were not allowed here, as they are from now on. */
  close() {
    const refused = [...this.#decided.values()].filter(({ decision }) => !decision.approved);
    this.show({});
    return refused.map(({ call, decision: { reason } }) =>
      call.awaits === "result" ? { ...call, status: "failed", error: reason ?? NOT_HERE } : { ...call, status: "refused", reason },
    );
  }

  /** Let the user decide again, after a decision could not be sent. */
  reset() {
    this.#decided.clear();
    this.#render();
  }

  /** Let the user decide again, who can only refuse. */
  expire() {
    this.#expired = true;
    this.reset();
  }

  /** Lead to the first card that waits; not to a button, or an Enter that was meant for something else would allow a call. */
  focus() {
    this.element.querySelector("button")?.closest(".decision").focus();
  }

  #awaitEnd() {
    clearTimeout(this.#timer);
    const left = Math.min(...this.#calls.map((call) => Date.parse(call.expires_at))) - Date.now();
    if (left > 0 && left <= MAX_TIMEOUT_MS) this.#timer = setTimeout(() => this.#update(), left);
  }

  #isOver(call) {
    return this.#expired || Date.parse(call.expires_at) <= Date.now();
  }

  #render() {
    this.element.replaceChildren(...this.#calls.map((call) => this.#card(call)));
    this.element.hidden = !this.#calls.length;
  }

  /** Show anew what nobody has asked for; whoever is at a button stays there, whoever writes a reason goes on. */
  #update() {
    if (this.element.querySelector("input")) return;
    const had = this.element.contains(document.activeElement);
    const at = [...this.element.querySelectorAll("button")].indexOf(document.activeElement);
    this.#render();
    const button = this.element.querySelectorAll("button")[at];
    if (button) button.focus();
    else if (had) this.focus();
  }

  #card(call) {
    const view = toolView(call.tool);
    const title = inLanguage(view?.title) || call.tool;
    const subject = visible(fill(view?.subject ?? "", call) ?? "");
    const label = call.awaits === "result" ? `${title} waits for another program` : `Allow ${title}?`;
    return h(
      "div",
      { class: "decision", role: "group", tabindex: "-1", "aria-label": label },
      h("p", { class: "asks" }, icon(view?.icon ?? "wrench"), h("span", {}, h("strong", {}, label), subject && h("span", { class: "more" }, ` ${subject}`))),
      h("pre", { tabindex: "0", "aria-label": "Arguments" }, visible(JSON.stringify(call.arguments, null, 2))),
      this.#decided.has(call.id) ? h("p", { class: "fine" }, this.#decided.get(call.id).words) : this.#buttons(call),
    );
  }

  #buttons(call) {
    const button = (words, onclick, strong) => h("button", { type: "button", class: strong ? "pill strong" : "pill", onclick }, words);
    const refuse = button("Refuse", () => this.#askWhy(call, row));
    const row = h("div", { class: "decision-actions" }, ...(call.awaits === "approval" ? this.#allowing(call, button) : []), refuse);
    return row;
  }

  #allowing(call, button) {
    if (this.#isOver(call)) return [h("span", { class: "fine" }, "The time to allow this is over.")];
    return [
      button("Allow", () => this.#decide(call, { approved: true }, "Allowed"), true),
      button("Allow for this conversation", () => this.#decide(call, { approved: true, remember: "thread" }, "Allowed for this conversation")),
    ];
  }

  #askWhy(call, row) {
    const reason = h("input", { type: "text", maxlength: MAX_REASON, placeholder: "Why? (optional)", "aria-label": "Why? (optional)" });
    const back = (event) => {
      if (event.key !== "Escape") return;
      form.replaceWith(row);
      row.lastElementChild.focus();
    };
    const form = h(
      "form",
      { class: "decision-actions", onkeydown: back },
      reason,
      h("button", { type: "submit", class: "pill strong" }, "Refuse"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#decide(call, { approved: false, reason: reason.value.trim() || null }, "Refused");
    });
    row.replaceWith(form);
    reason.focus();
  }

  #decide(call, decision, words) {
    this.#decided.set(call.id, { call, decision, words });
    this.#render();
    announce(words);
    if (this.#decided.size < this.#calls.length) return this.focus();
    const decided = [...this.#decided.values()];
    this.onDecide({
      approvals: decided.filter((it) => it.call.awaits === "approval").map((it) => ({ call_id: it.call.id, ...it.decision })),
      tool_results: decided
        .filter((it) => it.call.awaits === "result")
        .map((it) => ({ call_id: it.call.id, error: it.decision.reason ?? NOT_HERE })),
    });
  }
}
