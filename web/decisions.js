/** What a paused answer asks: a card for each call that waits, decided about all at once. */

import { announce, h, icon } from "./dom.js";
import { fill, inLanguage, loadTools, toolView } from "./tools.js";

const MAX_REASON = 2000;

/** The cards of one answer; `onDecide` gets the body for the API once every call is decided about. */
export class DecisionsView {
  #calls = [];
  #decided = new Map();

  constructor(onDecide) {
    this.onDecide = onDecide;
    this.element = h("div", { class: "decisions", hidden: true });
  }

  /** Show the open calls of a message, if it has any. */
  show(message) {
    const calls = message.status === "paused" ? (message.tool_calls ?? []).filter((call) => call.status === "open") : [];
    const isNew = calls.length > 0 && !this.#calls.length;
    this.#calls = calls;
    this.#decided.clear();
    this.#render();
    if (isNew) loadTools().then(() => this.#calls === calls && this.#render());
  }

  /** Let the user decide again, after a decision could not be sent. */
  reset() {
    this.#decided.clear();
    this.#render();
  }

  #render() {
    const cards = this.#calls.map((call) => this.#card(call));
    const hint = h("p", { class: "fine" }, "If you write something else instead, this is refused.");
    this.element.replaceChildren(...(cards.length ? [...cards, hint] : []));
    this.element.hidden = !cards.length;
  }

  #card(call) {
    const view = toolView(call.tool);
    const title = inLanguage(view?.title) || call.tool;
    const subject = fill(view?.subject ?? "", call) ?? "";
    const label = call.awaits === "result" ? `${title} waits for another program` : `Allow ${title}?`;
    return h(
      "div",
      { class: "decision", role: "group", "aria-label": label },
      h("p", { class: "asks" }, icon(view?.icon ?? "wrench"), h("span", {}, h("strong", {}, label), subject && h("span", { class: "more" }, ` ${subject}`))),
      h("pre", { tabindex: "0", "aria-label": "Arguments" }, JSON.stringify(call.arguments, null, 2)),
      this.#decided.has(call.id) ? h("p", { class: "fine" }, this.#decided.get(call.id).words) : this.#buttons(call),
    );
  }

  #buttons(call) {
    const button = (words, onclick, strong) => h("button", { type: "button", class: strong ? "pill strong" : "pill", onclick }, words);
    const refuse = button("Refuse", () => this.#askWhy(call, row));
    const expired = Date.parse(call.expires_at) <= Date.now();
    const allow = call.awaits === "approval" && !expired && [
      button("Allow", () => this.#decide(call, { approved: true }, "Allowed"), true),
      button("Allow for this conversation", () => this.#decide(call, { approved: true, remember: "thread" }, "Allowed for this conversation")),
    ];
    const row = h("div", { class: "decision-actions" }, ...(allow || [expired && h("span", { class: "fine" }, "The time to allow this is over.")]), refuse);
    return row;
  }

  #askWhy(call, row) {
    const reason = h("input", { type: "text", maxlength: MAX_REASON, placeholder: "Why? (optional)", "aria-label": "Why? (optional)" });
    const form = h(
      "form",
      { class: "decision-actions", onkeydown: (event) => event.key === "Escape" && this.#render() },
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
    if (this.#decided.size < this.#calls.length) return void this.element.querySelector("button")?.focus();
    const decided = [...this.#decided.values()];
    this.onDecide({
      approvals: decided.filter((it) => it.call.awaits === "approval").map((it) => ({ call_id: it.call.id, ...it.decision })),
      tool_results: decided
        .filter((it) => it.call.awaits === "result")
        .map((it) => ({ call_id: it.call.id, error: it.decision.reason ?? "This program cannot run it." })),
    });
  }
}
