/** A turn's events, each exactly once and in order, however often the connection breaks. */

import { ApiError, getTurn, listMessages, openContinuation, openEvents, openTurn } from "./api.js";
import { readEvents } from "./sse.js";

const LAST_EVENTS = new Set(["message.completed", "turn.failed", "turn.cancelled", "turn.paused"]);
const MAX_WAIT_MS = 8000;
// The server breaks every silence with a heartbeat after 15 seconds: a connection that is silent for longer is dead.
const STALE_AFTER_MS = 40_000;

/**
 * Send a message and yield its turn's events; returns when the turn has ended, or `signal` aborts.
 *
 * @param {string} threadId
 * @param {{content: string, key: string}} message the key stays the same for every attempt
 * @param {{signal: AbortSignal, onConnection: (connected: boolean) => void}} options
 */
export async function* sendMessage(threadId, message, options) {
  yield* new Turn(threadId, options).events((turn) => turn.begin(message));
}

/**
 * Decide about a paused turn and yield the events of the one that goes on.
 *
 * @param {{turnId: string, decisions: object, key: string}} continuation the key stays the same for every attempt
 */
export async function* continueTurn(threadId, continuation, options) {
  yield* new Turn(threadId, options).events((turn) => turn.goOn(continuation));
}

/** Yield the events of a turn that runs already, from its first one. */
export async function* followTurn(threadId, turnId, options) {
  const turn = new Turn(threadId, options);
  turn.id = turnId;
  yield* turn.events();
}

class Turn {
  id = null;
  #lastEventId = 0;
  #ended = false;
  #failures = 0;
  #inner = null;

  constructor(threadId, { signal, onConnection }) {
    this.threadId = threadId;
    this.signal = signal;
    this.onConnection = onConnection;
  }

  /** Yield the events to the last one; `begin` returns the first response of a turn whose id is not known yet. */
  async *events(begin) {
    while (!this.#ended && !this.signal.aborted) {
      try {
        yield* this.#read(() => (this.id === null ? begin(this) : this.#resume()));
      } catch (error) {
        if (this.signal.aborted) return;
        // What was refused stays refused; but a turn that runs goes on, whatever one request met.
        if (error instanceof ApiError && (this.id === null || !error.problem.retryable)) throw error;
      }
      if (!this.#ended) await this.#wait();
    }
  }

  /** Post the message. */
  async begin(message) {
    try {
      return await openTurn(this.threadId, message, this.#inner.signal);
    } catch (error) {
      // An attempt whose answer got lost may have begun the turn all the same.
      if (this.#failures === 0 || error.problem?.type !== "turn_in_progress") throw error;
      const { messages } = await listMessages(this.threadId, { order: "desc", limit: 10 });
      const ours = messages.find((it) => it.status === "running" && it.metadata?.idempotency_key === message.key);
      if (!ours) throw error;
      this.id = ours.turn_id;
      return this.#resume();
    }
  }

  /** Decide about a paused turn. */
  async goOn(continuation) {
    try {
      return await openContinuation(this.threadId, continuation, this.#inner.signal);
    } catch (error) {
      // An attempt whose answer got lost may have decided all the same.
      if (this.#failures === 0 || !["turn_continued", "turn_in_progress"].includes(error.problem?.type)) throw error;
      const { continued_by: id } = await getTurn(this.threadId, continuation.turnId);
      if (!id) throw error;
      this.id = id;
      return this.#resume();
    }
  }

  #resume() {
    return openEvents(this.threadId, this.id, this.#lastEventId, this.#inner.signal);
  }

  /** Yield the new events of one stream; without a last event, it was cut off. */
  async *#read(open) {
    const inner = (this.#inner = new AbortController());
    const abort = () => inner.abort();
    this.signal.addEventListener("abort", abort);
    let silence = setTimeout(abort, STALE_AFTER_MS);
    const onBytes = () => {
      clearTimeout(silence);
      silence = setTimeout(abort, STALE_AFTER_MS);
    };
    try {
      const response = await open();
      this.onConnection(true);
      // Nothing more comes: the turn has ended, and its last event was read before.
      if (response.status === 204) return void (this.#ended = true);
      for await (const { data } of readEvents(response.body, onBytes)) {
        const event = JSON.parse(data);
        if (event.id <= this.#lastEventId) continue;
        this.#lastEventId = event.id;
        this.id = event.turn_id;
        this.#failures = 0;
        this.#ended = LAST_EVENTS.has(event.type);
        yield event;
        if (this.#ended) return;
      }
    } finally {
      clearTimeout(silence);
      this.signal.removeEventListener("abort", abort);
      abort();
    }
  }

  /** Wait before the next attempt: hardly the first time, then longer and longer, but not longer than the network is away. */
  async #wait() {
    const attempt = this.#failures++;
    if (attempt > 0) this.onConnection(false);
    const milliseconds = attempt === 0 ? 100 : Math.min(MAX_WAIT_MS, 300 * 2 ** attempt) * (0.75 + Math.random() / 2);
    await new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener("online", done);
        this.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      addEventListener("online", done);
      this.signal.addEventListener("abort", done);
    });
  }
}
