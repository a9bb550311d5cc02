/** How a message looks: the user's, and the assistant's while it is written and afterwards. */

import { DecisionsView } from "./decisions.js";
import { copyButton, h, icon } from "./dom.js";
import { FeedbackView } from "./feedback.js";
import { MarkdownView } from "./markdown.js";
import { ReasoningView } from "./reasoning.js";
import { SourcesView } from "./sources.js";
import { ToolCallView } from "./toolcalls.js";
import { clock, problemText } from "./format.js";

/** The user's message, with what went wrong below it. */
export class UserView {
  role = "user";
  /** How the last of its answers that paused goes on, for another attempt. */
  continuation = null;

  /** `onRetry` is called with this view. */
  constructor({ id = null, content, key, timestamp }, onRetry) {
    this.id = id;
    this.content = content;
    this.key = key;
    this.onRetry = onRetry;
    this.notice = h("div", { class: "notice-slot" });
    this.element = h(
      "li",
      { class: "message user" },
      h("h2", { class: "visually-hidden" }, "You"),
      h(
        "div",
        { class: "said" },
        h("div", { class: "bubble" }, content),
        h("div", { class: "actions" }, time(timestamp), copyButton("Copy your message", () => content)),
      ),
      this.notice,
    );
  }

  /** Show a turn's outcome; only the last message of a thread can be tried again. */
  setStatus(status, problem, isLast) {
    const state = JSON.stringify([status, problem, isLast]);
    if (state === this.state) return;
    this.state = state;
    this.status = status;
    this.problem = problem;
    const broken = status === "failed" || status === "interrupted";
    const shown = problem ?? (status === "interrupted" ? { type: "turn_interrupted" } : null);
    this.notice.replaceChildren(...(broken ? [this.#notice(problemText(shown), shown, isLast)] : []));
    if (status === "cancelled" && isLast) this.notice.replaceChildren(h("p", { class: "stopped" }, "Stopped"));
  }

  #notice(words, problem, isLast) {
    return h(
      "div",
      { class: "notice" },
      icon("alert"),
      h("div", {}, h("p", {}, words), problem?.request_id && h("p", { class: "fine" }, `Reference: ${problem.request_id}`)),
      isLast && h("button", { type: "button", class: "pill", onclick: () => this.onRetry(this) }, icon("retry"), "Retry"),
    );
  }
}

/** The assistant's message. */
export class AnswerView {
  role = "assistant";
  id = null;
  asked = new Set();
  #text = "";
  #calls = new Map();
  #frame = 0;

  /** `onDecide(view, decisions)` is called when the user has decided about all that a paused answer asks. */
  constructor(onDecide) {
    this.decisions = new DecisionsView((decisions) => onDecide(this, decisions));
    this.reasoning = new ReasoningView();
    this.tools = h("div", { class: "tools" });
    this.markdown = new MarkdownView();
    this.waiting = h("div", { class: "waiting", role: "img", "aria-label": "Thinking" }, h("i"), h("i"), h("i"));
    this.sources = new SourcesView();
    this.footer = h("div", { class: "actions" });
    this.feedback = new FeedbackView();
    this.element = h(
      "li",
      { class: "message assistant" },
      h("h2", { class: "visually-hidden" }, "Assistant"),
      h("img", { class: "avatar", src: "web/logo.svg", alt: "" }),
      h(
        "div",
        { class: "answer" },
        this.reasoning.element,
        this.tools,
        this.markdown.element,
        this.decisions.element,
        this.waiting,
        this.sources.element,
        this.footer,
        this.feedback.form,
      ),
    );
    this.element.classList.add("live");
  }

  /** What the answer says, without the page's own words. */
  get spoken() {
    return this.markdown.element.innerText;
  }

  /** Add a piece of what the model thinks. */
  think(text) {
    this.reasoning.append(text);
    this.waiting.hidden ||= this.reasoning.element.hasChildNodes();
  }

  /** Add a piece of text; it is shown with the next frame. */
  append(text) {
    this.#text += text;
    this.reasoning.pause();
    this.waiting.hidden = true;
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  /** Show a tool call that has begun. */
  startCall(call) {
    this.reasoning.pause();
    this.#showCall({ ...call, running: true });
  }

  /** Show what was decided about, now that another turn goes on with it. */
  settle() {
    for (const call of this.decisions.close()) this.#showCall(call);
  }

  /** Whether it shows this call. */
  hasCall(id) {
    return this.#calls.has(id) || this.asked.has(id);
  }

  /** Show how far a tool call is. */
  progressCall(id, progress) {
    if (this.#calls.has(id)) this.#showCall({ ...this.#calls.get(id).call, progress });
  }

  /** Show a tool call's outcome. */
  completeCall(call) {
    this.#showCall({ ...this.#calls.get(call.id)?.call, ...call, running: false });
    this.waiting.hidden = Boolean(this.#text) || this.#runs();
  }

  /** Show the whole message as it was stored. */
  finish(message) {
    this.feedback.show(message);
    const state = JSON.stringify([message.id, message.status, message.content, message.reasoning, message.tool_calls]);
    if (state === this.state) return;
    this.state = state;
    this.id = message.id;
    this.#text = message.content;
    this.reasoning.finish(message.reasoning ?? "");
    const calls = message.tool_calls ?? [];
    this.asked = new Set(calls.filter((call) => call.awaits).map((call) => call.id));
    for (const call of calls.filter((it) => it.status !== "open")) this.#showCall(call);
    this.decisions.show(message);
    this.#render();
    this.sources.show(message.citations ?? [], this.markdown.element);
    this.#end(message);
  }

  #end(message) {
    this.element.classList.remove("live");
    this.waiting.hidden = true;
    const stopped = message.status === "cancelled";
    const { model, usage } = message.metadata ?? {};
    const tokens = usage && `${usage.input_tokens ?? 0} tokens read, ${usage.output_tokens ?? 0} written`;
    this.footer.replaceChildren(
      ...[
        stopped && h("span", { class: "stopped" }, "Stopped"),
        message.content && copyButton("Copy the answer", () => message.content),
        message.content && this.feedback.buttons,
        time(message.timestamp),
        model && h("span", { title: tokens || null }, model),
      ].filter(Boolean),
    );
  }

  #showCall(call) {
    const known = this.#calls.get(call.id);
    const view = known?.view ?? new ToolCallView(call);
    if (known) view.update(call);
    else this.tools.append(view.element);
    this.#calls.set(call.id, { call, view });
    this.waiting.hidden = true;
  }

  #runs() {
    return [...this.#calls.values()].some(({ call }) => call.running);
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.markdown.update(this.#text);
  }
}

function time(timestamp) {
  return timestamp ? h("time", { datetime: timestamp }, clock(timestamp)) : null;
}
