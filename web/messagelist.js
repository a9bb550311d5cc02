/** The messages of the open thread, as the server has them and as they are shown; earlier ones come a page at a time. */

import { listMessages } from "./api.js";
import { AnswerView, UserView } from "./messages.js";

const PAGE_SIZE = 40;

export class MessageList {
  threadId = null;
  #views = [];
  #cursor = null;

  /** `busy()` tells whether a turn runs, `send(view)` tries a message again, `decide(view, decisions)` goes on with a paused answer. */
  constructor(scroll, { busy, send, decide }) {
    this.decide = decide;
    this.scroll = scroll;
    this.busy = busy;
    this.send = send;
    this.element = document.getElementById("messages");
    this.earlier = document.getElementById("earlier");
    this.earlier.firstElementChild.addEventListener("click", () => this.#loadEarlier());
  }

  get last() {
    return this.#views.at(-1);
  }

  /** The user's message that is being answered, if there is one. */
  get running() {
    return this.#views.findLast((view) => view.role === "user" && view.status === "running");
  }

  /** The user's message that an answer is about. */
  questionOf(answer) {
    return this.#views.slice(0, this.#views.indexOf(answer)).findLast((view) => view.role === "user");
  }

  /** Show nothing, of this thread from now on. */
  clear(threadId) {
    this.threadId = threadId;
    this.#views = [];
    this.#setCursor(null);
    this.element.replaceChildren();
  }

  append(view) {
    this.#views.push(view);
    this.element.append(view.element);
    this.#updateStatuses();
  }

  /** Remember an answer that is on the page already, behind the message or the paused answer that it follows. */
  answered(before, answer) {
    this.#views.splice(this.#views.indexOf(before) + 1, 0, answer);
  }

  remove(view) {
    view.element.remove();
    this.#views = this.#views.filter((other) => other !== view);
  }

  /** Read the latest page of the thread, to {@link merge}. */
  async readLatest() {
    return this.#read({});
  }

  /** Make the end of the list what the server has; elements of messages that are still the same stay. */
  merge({ messages, cursor }) {
    const first = this.#views.findIndex((view) => view.id !== null && view.id === messages[0]?.id);
    const before = first > 0 ? this.#views.slice(0, first) : [];
    if (!before.length) this.#setCursor(cursor);
    const rest = new Set(this.#views.slice(before.length));
    const merged = messages.map((message) => {
      const view = this.#find(rest, message) ?? this.#make(message);
      rest.delete(view);
      return this.#adopt(view, message);
    });
    // What was not accepted yet is only here.
    const pending = [...rest].filter((view) => view.id === null && view.role === "user");
    this.#views = [...before, ...merged, ...pending];
    const elements = this.#views.map((view) => view.element);
    if (elements.length !== this.element.children.length || elements.some((it, at) => it !== this.element.children[at])) {
      this.element.replaceChildren(...elements);
    }
    this.#updateStatuses();
  }

  async #read(options) {
    const { messages, next_cursor: cursor } = await listMessages(this.threadId, { order: "desc", limit: PAGE_SIZE, ...options });
    return { messages: messages.reverse(), cursor: cursor ?? null };
  }

  async #loadEarlier() {
    const before = this.#cursor;
    const { messages, cursor } = await this.#read({ before });
    // Another thread was opened, or this page has been asked for twice.
    if (before !== this.#cursor) return;
    const views = messages.map((message) => this.#adopt(this.#make(message), message));
    this.scroll.keepPosition(() => {
      this.element.prepend(...views.map((view) => view.element));
      this.#views.unshift(...views);
      this.#updateStatuses();
      this.#setCursor(cursor);
    });
  }

  #find(views, message) {
    const key = message.role === "user" ? message.metadata?.idempotency_key : undefined;
    return [...views].find((view) => view.id === message.id || (view.id === null && key && view.key === key));
  }

  #make(message) {
    if (message.role === "assistant") return new AnswerView(this.decide);
    return new UserView({ ...message, key: message.metadata?.idempotency_key }, this.send);
  }

  #adopt(view, message) {
    view.id = message.id;
    view.turnId = message.turn_id;
    if (message.role === "assistant") view.finish(message);
    else view.message = message;
    return view;
  }

  /** Show every message's outcome: only the last one can be tried again, or going on with its answer. */
  #updateStatuses() {
    for (const view of this.#views) {
      if (view.role !== "user") continue;
      const status = view.message && view.id ? view.message.status : view.status;
      view.setStatus(status, view.message?.problem ?? view.problem, this.#canRetry(view) && status !== "pending");
    }
  }

  #canRetry(view) {
    if (this.busy()) return false;
    return view === this.last || (view.continuation !== null && view === this.questionOf(this.last));
  }

  #setCursor(cursor) {
    this.#cursor = cursor;
    this.earlier.hidden = cursor === null;
  }
}
