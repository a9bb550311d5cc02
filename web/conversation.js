/** The open thread: its messages, and the turn that runs in it. */

import { cancelTurn, createThread, listMessages } from "./api.js";
import { announce } from "./dom.js";
import { AnswerView, UserView } from "./messages.js";
import { errorNotice, skeleton } from "./placeholders.js";
import { followTurn, sendMessage } from "./turns.js";
import { problemText, titleFrom } from "./format.js";

const PAGE_SIZE = 40;

export class Conversation extends EventTarget {
  threadId = null;
  #views = [];
  #turn = null;
  #cursor = null;
  #opened = 0;

  /**
   * Events: `thread` when it has made one, `busy` when a turn begins or ends, `turn` after one has begun or ended on the server,
   * `refused` when another turn was in the way of a message, `connection` when it is lost or back.
   */
  constructor(scroll) {
    super();
    this.scroll = scroll;
    this.list = document.getElementById("messages");
    this.empty = document.getElementById("empty");
    this.notice = document.getElementById("notice");
    this.earlier = document.getElementById("earlier");
    this.earlier.firstElementChild.addEventListener("click", () => this.#loadEarlier());
  }

  get busy() {
    return this.#turn !== null;
  }

  /** Show a thread, or the start of a new one. */
  async open(threadId) {
    this.#leave();
    this.threadId = threadId;
    this.#cursor = null;
    this.#views = [];
    this.list.replaceChildren();
    this.earlier.hidden = true;
    this.empty.hidden = threadId !== null;
    this.notice.replaceChildren();
    this.scroll.toEnd();
    if (threadId === null) return;
    // What comes quickly needs no placeholder.
    const placeholder = setTimeout(() => this.notice.replaceChildren(skeleton()), 150);
    const opened = this.#opened;
    try {
      await this.sync();
    } catch (error) {
      if (opened === this.#opened) this.#showError(error.problem);
    } finally {
      clearTimeout(placeholder);
      if (opened === this.#opened) this.notice.querySelector(".skeleton")?.remove();
    }
    if (opened === this.#opened) this.scroll.toEnd();
  }

  /** Read the thread's latest messages again, and follow the turn that runs in it. */
  async sync() {
    if (this.threadId === null || this.#turn) return;
    const opened = this.#opened;
    const { messages, next_cursor: cursor } = await listMessages(this.threadId, { order: "desc", limit: PAGE_SIZE });
    if (opened !== this.#opened || this.#turn) return;
    this.notice.replaceChildren();
    this.#merge(messages.reverse(), cursor);
    const last = this.#views.at(-1);
    if (last?.status === "running" && last.turnId) {
      const follow = (options) => followTurn(this.threadId, last.turnId, options);
      this.#run(last, follow, last.turnId);
    }
  }

  /** {@link sync}, when nobody waits for it: what fails now comes with the next time. */
  async catchUp() {
    const opened = this.#opened;
    await this.sync().catch(({ problem }) => {
      if (opened === this.#opened && problem?.type === "thread_not_found") this.#showError(problem);
    });
  }

  /** Send a message; makes the thread if this is its first one. */
  async send(content) {
    if (this.#turn) return;
    const view = new UserView({ content, key: crypto.randomUUID(), timestamp: new Date().toISOString() }, (it) => this.#send(it));
    this.empty.hidden = true;
    this.#views.push(view);
    this.list.append(view.element);
    this.#updateStatuses();
    await this.#send(view);
  }

  /** Stop the turn that runs; what it has written so far stays. */
  async stop() {
    const turn = this.#turn;
    if (!turn) return;
    if (turn.id === null) {
      // It is stopped as soon as it is known, unless there is no telling whether it has begun at all.
      turn.stopping = true;
      if (!turn.connected) this.#giveUp(turn);
      return;
    }
    if (turn.cancelled) return;
    turn.cancelled = true;
    try {
      await cancelTurn(this.threadId, turn.id);
    } catch (error) {
      turn.cancelled = false;
      if (error.problem?.type !== "turn_ended") announce(problemText(error.problem));
    }
  }

  async #send(view) {
    if (this.#turn) return;
    view.key ??= crypto.randomUUID();
    await this.#run(view, (options) => this.#post(view, options), null);
  }

  async *#post(view, options) {
    if (this.threadId === null) {
      const opened = this.#opened;
      const thread = await createThread({ title: titleFrom(view.content) });
      if (opened !== this.#opened) return;
      this.threadId = thread.id;
      this.#emit("thread", thread);
    }
    yield* sendMessage(this.threadId, view, options);
  }

  /** Run a turn to its end; `source` yields its events. */
  async #run(user, source, turnId) {
    const controller = new AbortController();
    const turn = { id: turnId, user, answer: new AnswerView(), controller, stopping: false, connected: true, threadId: this.threadId };
    this.#turn = turn;
    user.setStatus("running", null, true);
    user.element.after(turn.answer.element);
    this.scroll.toEnd();
    this.#emit("busy");
    announce("The assistant is answering");
    const onConnection = (connected) => {
      turn.connected = connected;
      this.#emit("connection", connected);
    };
    let refusal = null;
    try {
      for await (const event of source({ signal: controller.signal, onConnection })) {
        if (controller.signal.aborted) return;
        this.#handle(turn, event);
      }
    } catch (error) {
      if (controller.signal.aborted) return;
      if (!error.problem) console.error(error);
      refusal = error.problem ?? { type: "page", title: "This page failed to show the answer. Reload it." };
      if (turn.id === null) this.#fail(turn, refusal);
    }
    if (controller.signal.aborted) return;
    this.#turn = null;
    if (!turn.answer.id) turn.answer.element.remove();
    this.#emit("connection", true);
    this.#emit("busy");
    this.#emit("turn", turn.threadId ?? this.threadId);
    if (refusal?.type === "turn_in_progress" && user.id === null) this.#takeBack(user);
    await this.catchUp();
  }

  #handle(turn, event) {
    const { answer } = turn;
    if (turn.id === null) {
      turn.id = turn.user.turnId = event.turn_id;
      this.#emit("turn", this.threadId);
      if (turn.stopping) this.stop();
    }
    if (event.type === "message.delta") answer.append(event.text);
    else if (event.type === "tool.started") {
      answer.startCall({ id: event.call_id, tool: event.tool, arguments: event.arguments });
    } else if (event.type === "tool.completed") {
      const { call_id: id, tool, result, error, duration_ms } = event;
      answer.completeCall({ id, tool, result, error, duration_ms });
    } else if (event.type === "message.completed" || event.type === "turn.cancelled") this.#complete(turn, event);
    else if (event.type === "turn.failed") this.#fail(turn, event.problem);
  }

  #complete(turn, event) {
    const stopped = event.type === "turn.cancelled";
    if (event.message) {
      turn.answer.finish(event.message);
      this.#views.splice(this.#views.indexOf(turn.user) + 1, 0, turn.answer);
    }
    turn.user.setStatus(stopped && !event.message ? "cancelled" : "completed", null, true);
    announce(stopped ? "Stopped" : turn.answer.spoken);
  }

  #fail(turn, problem) {
    turn.user.setStatus("failed", problem, true);
    announce(problemText(problem));
  }

  /** Stop trying to reach the server with a message; it can be tried again with the same key. */
  #giveUp(turn) {
    turn.controller.abort();
    this.#turn = null;
    turn.answer.element.remove();
    this.#fail(turn, { type: "network" });
    this.#emit("connection", true);
    this.#emit("busy");
  }

  /** Take back a message that was not accepted, because the thread is answering another one. */
  #takeBack(view) {
    view.element.remove();
    this.#views = this.#views.filter((other) => other !== view);
    this.#emit("refused", view.content);
  }

  /** Stop watching the turn; it goes on, on the server. */
  #leave() {
    this.#opened += 1;
    this.#turn?.controller.abort();
    if (this.#turn) {
      this.#turn = null;
      this.#emit("connection", true);
      this.#emit("busy");
    }
  }

  /** Make the end of the list what the server has; elements of messages that are still the same stay. */
  #merge(messages, cursor) {
    const first = this.#views.findIndex((view) => view.id !== null && view.id === messages[0]?.id);
    const before = first > 0 ? this.#views.slice(0, first) : [];
    if (!before.length) this.#setCursor(cursor);
    const rest = new Set(this.#views.slice(before.length));
    const merged = messages.map((message) => {
      const view = this.#find(rest, message) ?? this.#make(message);
      rest.delete(view);
      if (message.role === "assistant") view.finish(message);
      return this.#adopt(view, message);
    });
    // What was not accepted yet is only here.
    const pending = [...rest].filter((view) => view.id === null && view.role === "user");
    this.#views = [...before, ...merged, ...pending];
    const elements = this.#views.map((view) => view.element);
    if (elements.length !== this.list.children.length || elements.some((it, at) => it !== this.list.children[at])) {
      this.list.replaceChildren(...elements);
    }
    this.#updateStatuses(messages);
  }

  #find(views, message) {
    const key = message.role === "user" ? message.metadata?.idempotency_key : undefined;
    return [...views].find((view) => view.id === message.id || (view.id === null && key && view.key === key));
  }

  #make(message) {
    if (message.role === "assistant") return new AnswerView();
    return new UserView({ ...message, key: message.metadata?.idempotency_key }, (view) => this.#send(view));
  }

  #adopt(view, message) {
    view.id = message.id;
    view.turnId = message.turn_id;
    if (message.role === "user") view.message = message;
    return view;
  }

  /** Show every message's outcome: only the last one can be tried again. */
  #updateStatuses() {
    const last = this.#views.at(-1);
    for (const view of this.#views) {
      if (view.role !== "user") continue;
      const status = view.message && view.id ? view.message.status : view.status;
      view.setStatus(status, view.message?.problem ?? view.problem, view === last && !this.#turn && status !== "pending");
    }
  }

  async #loadEarlier() {
    const { messages, next_cursor: cursor } = await listMessages(this.threadId, {
      order: "desc",
      limit: PAGE_SIZE,
      before: this.#cursor,
    });
    const views = messages.reverse().map((message) => {
      const view = this.#make(message);
      if (message.role === "assistant") view.finish(message);
      return this.#adopt(view, message);
    });
    this.scroll.keepPosition(() => {
      this.list.prepend(...views.map((view) => view.element));
      this.#views.unshift(...views);
      this.#updateStatuses();
      this.#setCursor(cursor);
    });
  }

  #setCursor(cursor) {
    this.#cursor = cursor ?? null;
    this.earlier.hidden = this.#cursor === null;
  }

  #showError(problem) {
    this.notice.replaceChildren(errorNotice(problem, () => this.open(this.threadId)));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
