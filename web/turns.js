/** A turn's events, each exactly once and in order, however often the connection breaks. */

import { ApiError, NetworkError, listMessages, openEvents, openTurn } from "./api.js";
import { readEvents } from "./sse.js";

const LAST_EVENTS = new Set(["message.completed", "turn.failed", "turn.cancelled"]);
const MAX_WAIT_MS = 8000;
// The server breaks every silence with a heartbeat after 15 seconds: a connection that is silent for longer is dead.
const MAX_SILENCE_MS = 40_000;

/**
 * Send a message and yield its turn's events; goes on until the turn has ended.
 *
 * @param {string} threadId
 * @param {{content: string, key: string}} message the key stays the same for every attempt
 * @param {{signal: AbortSignal, onConnection: (connected: boolean) => void}} options
 */
export async function* sendMessage(threadId, message, { signal, onConnection }) {
  let known = null;
  const follower = new Follower(signal, onConnection);
  for (;;) {
    try {
      const open = known
        ? (inner) => openEvents(threadId, known, follower.lastId, inner)
        : (inner) => openTurn(threadId, message, inner);
      for await (const event of follower.read(open)) {
        known = event.turn_id;
        yield event;
        if (LAST_EVENTS.has(event.type)) return;
      }
      throw new NetworkError("The stream broke off.");
    } catch (error) {
      if (signal.aborted) return;
      // An attempt whose answer got lost may have begun the turn all the same.
      if (!known && follower.attempts > 0 && error instanceof ApiError && error.problem.type === "turn_in_progress") {
        known = await findTurn(threadId, message.key);
      }
      if (!known && error instanceof ApiError) throw error;
      if (known && error instanceof ApiError && error.problem.type !== "turn_in_progress" && !error.problem.retryable) throw error;
      await follower.wait();
    }
  }
}

/** Yield the events of a turn that runs already, from its first one. */
export async function* followTurn(threadId, turnId, { signal, onConnection }) {
  const follower = new Follower(signal, onConnection);
  for (;;) {
    try {
      for await (const event of follower.read((inner) => openEvents(threadId, turnId, follower.lastId, inner))) {
        yield event;
        if (LAST_EVENTS.has(event.type)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && !error.problem.retryable) throw error;
    }
    await follower.wait();
    if (signal.aborted) return;
  }
}

async function findTurn(threadId, key) {
  const { messages } = await listMessages(threadId, { order: "desc", limit: 10 });
  const running = messages.find((message) => message.status === "running" && message.metadata?.idempotency_key === key);
  return running?.turn_id ?? null;
}

/** Reads one stream after the other, without repeating an event, and waits longer after each that brought nothing. */
class Follower {
  lastId = 0;
  attempts = 0;

  constructor(signal, onConnection) {
    this.signal = signal;
    this.onConnection = onConnection;
  }

  /** Yield the new events of the stream that `open` opens. */
  async *read(open) {
    const aborter = new AbortController();
    const abort = () => aborter.abort();
    this.signal.addEventListener("abort", abort);
    let silence = setTimeout(abort, MAX_SILENCE_MS);
    const onBytes = () => {
      clearTimeout(silence);
      silence = setTimeout(abort, MAX_SILENCE_MS);
    };
    try {
      const response = await open(aborter.signal);
      this.onConnection(true);
      for await (const { data } of readEvents(response.body, onBytes)) {
        const event = JSON.parse(data);
        if (event.id !== undefined && event.id <= this.lastId) continue;
        this.lastId = event.id ?? this.lastId;
        this.attempts = 0;
        yield event;
      }
    } finally {
      clearTimeout(silence);
      this.signal.removeEventListener("abort", abort);
      abort();
    }
  }

  /** Wait before the next attempt: not at all the first time, and no longer than until the network is back. */
  async wait() {
    const attempt = this.attempts++;
    if (attempt > 0) this.onConnection(false);
    const milliseconds = attempt === 0 ? 100 : Math.min(MAX_WAIT_MS, 300 * 2 ** attempt) * (0.75 + Math.random() / 2);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const now = () => (clearTimeout(timer), resolve());
      addEventListener("online", now, { once: true });
      this.signal.addEventListener("abort", now, { once: true });
    });
  }
}
