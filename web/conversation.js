/** The open thread: its messages, and the turn that runs in it. */

import { cancelTurn, createThread } from "./api.js";
import { announce } from "./dom.js";
import { MessageList } from "./messagelist.js";
import { AnswerView, UserView } from "./messages.js";
import { errorNotice, skeleton } from "./placeholders.js";
import { showToast } from "./toasts.js";
import { continueTurn, followTurn, sendMessage } from "./turns.js";
import { problemText, titleFrom } from "./format.js";

export class Conversation extends EventTarget {
  threadId = null;
  #list;
  #turn = null;
  #opened = 0;

  /**
   * Events: `thread` when it has made one, `busy` when a turn begins or ends, `turn` after one has begun or ended on the server,
   * `refused` when another turn was in the way of a message, `connection` when it is lost or back, `asks` when {@link asks} may be
   * different.
   */
  constructor(scroll) {
    super();
    this.scroll = scroll;
    this.#list = new MessageList(scroll, {
      busy: () => this.busy,
      send: (view) => this.#retry(view),
      decide: (view, decisions) => this.#goOn(view, decisions),
    });
    this.empty = document.getElementById("empty");
    this.notice = document.getElementById("notice");
  }

  get busy() {
    return this.#turn !== null;
  }

  /** Whether the user is asked to decide about calls. */
  get asks() {
    return !this.busy && Boolean(this.#list.last?.decisions?.isOpen);
  }

  /** Show a thread, or the start of a new one. */
  async open(threadId) {
    this.#leave();
    this.threadId = threadId;
    this.#list.clear(threadId);
    this.#emit("asks");
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
    const latest = await this.#list.readLatest();
    if (opened !== this.#opened || this.#turn) return;
    this.notice.replaceChildren();
    this.#list.merge(latest);
    this.#emit("asks");
    const user = this.#list.running;
    if (user?.turnId) {
      const follow = (options) => followTurn(this.threadId, user.turnId, options);
      this.#run(user, follow, user.turnId, this.#list.last);
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
    const view = new UserView({ content, key: crypto.randomUUID(), timestamp: new Date().toISOString() }, (it) => this.#retry(it));
    this.empty.hidden = true;
    this.#list.append(view);
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

  /** Go on with a paused answer, all of whose calls are decided about. */
  async #goOn(paused, decisions) {
    if (this.#turn) return paused.decisions.reset();
    document.getElementById("input").focus();
    const user = this.#list.questionOf(paused);
    user.continuation = { paused, turnId: paused.turnId, decisions, key: crypto.randomUUID() };
    await this.#continue(user);
  }

  async #continue(user) {
    const { continuation } = user;
    await this.#run(user, (options) => continueTurn(this.threadId, continuation, options), null, continuation.paused);
  }

  /** Try what failed again: the message, or going on with its answer. */
  async #retry(view) {
    if (this.#turn) return;
    await (view.continuation ? this.#continue(view) : this.#send(view));
  }

  async *#post(view, options) {
    if (this.threadId === null) {
      const opened = this.#opened;
      const thread = await createThread({ title: titleFrom(view.content) });
      if (opened !== this.#opened) return;
      this.threadId = this.#list.threadId = thread.id;
      this.#emit("thread", thread);
    }
    yield* sendMessage(this.threadId, view, options);
  }

  /** Run a turn to its end; `source` yields its events. Its answer comes behind `before`: the message, or a paused answer. */
  async #run(user, source, turnId, before = user) {
    const controller = new AbortController();
    const answer = new AnswerView((view, decisions) => this.#goOn(view, decisions));
    const turn = { id: turnId, user, before, answer, controller, stopping: false, connected: true, threadId: this.threadId };
    this.#turn = turn;
    user.setStatus("running", null, true);
    before.element.after(answer.element);
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
      if (turn.id === null) this.#refuse(turn, refusal);
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
      if (turn.before !== turn.user) turn.before.settle();
      this.#emit("turn", this.threadId);
      if (turn.stopping) this.stop();
    }
    if (event.type === "message.delta") answer.append(event.text);
    else if (event.type === "reasoning.delta") answer.think(event.text);
    else if (event.type === "tool.started") {
      this.#viewOf(turn, event).startCall({ id: event.call_id, tool: event.tool, arguments: event.arguments });
    } else if (event.type === "tool.progress") this.#viewOf(turn, event).progressCall(event.call_id, event.text);
    else if (event.type === "tool.completed") {
      const { call_id: id, tool, result, error, duration_ms } = event;
      this.#viewOf(turn, event).completeCall({ id, tool, result, error, duration_ms });
    } else if (["message.completed", "turn.cancelled", "turn.paused"].includes(event.type)) this.#complete(turn, event);
    else if (event.type === "turn.failed") this.#fail(turn, event.problem);
  }

  /** Return the answer that shows a call: what was approved belongs to the paused one. */
  #viewOf({ before, answer }, { call_id: id }) {
    return before.role === "assistant" && before.hasCall(id) ? before : answer;
  }

  #complete(turn, event) {
    const stopped = event.type === "turn.cancelled";
    if (event.message) {
      turn.answer.turnId = event.turn_id;
      turn.answer.finish(event.message);
      this.#list.answered(turn.before, turn.answer);
    }
    turn.user.setStatus(stopped && !event.message ? "cancelled" : "completed", null, true);
    if (event.type === "turn.paused") this.#ask(turn.answer);
    else announce(stopped ? "Stopped" : turn.answer.spoken);
  }

  /** Tell that somebody has to decide; who is not writing anything is led to it. */
  #ask(answer) {
    announce("The assistant asks before it goes on");
    const input = document.getElementById("input");
    if (document.activeElement === input && !input.value) answer.decisions.focus();
  }

  /** Say why a turn could not begin. */
  #refuse(turn, problem) {
    if (turn.before === turn.user) return this.#fail(turn, problem);
    const decided = ["turn_continued", "turn_ended"].includes(problem.type);
    showToast(decided ? "This was decided already, in another place." : problemText(problem));
    turn.user.setStatus("completed", null, true);
    if (problem.type === "approval_expired") turn.before.decisions.expire();
    else turn.before.decisions.reset();
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
    this.#refuse(turn, { type: "network" });
    this.#emit("connection", true);
    this.#emit("busy");
  }

  /** Take back a message that was not accepted, because the thread is answering another one. */
  #takeBack(view) {
    this.#list.remove(view);
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

  #showError(problem) {
    this.notice.replaceChildren(errorNotice(problem, () => this.open(this.threadId)));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
