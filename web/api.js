/** The HTTP API. Addresses are relative to the page, so that it works behind any path prefix. */

import { credentialHeaders, signIn } from "./signin.js";

/** What the API refused, or could not do: `problem` is its problem document (RFC 9457). */
export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

/** The API could not be reached, or its answer broke off. */
export class NetworkError extends Error {
  problem = { type: "network", title: "No connection", detail: this.message, retryable: true };
}

/**
 * Send a request and return the response; throw {@link ApiError} or {@link NetworkError}. Who is not signed in is asked to, and
 * the request is sent again.
 */
export async function request(method, path, options = {}) {
  for (;;) {
    const credentials = await credentialHeaders();
    const response = await send(method, path, credentials, options);
    if (response.ok) return response;
    if (response.status !== 401 || options.keepalive) throw new ApiError(await readProblem(response));
    await signIn(credentials);
    options.signal?.throwIfAborted();
  }
}

async function send(method, path, credentials, { body, headers = {}, signal, keepalive = false }) {
  const content = body === undefined ? {} : { "Content-Type": "application/json" };
  try {
    return await fetch(new URL(`api/${path}`, document.baseURI), {
      method,
      signal,
      keepalive,
      cache: "no-store",
      headers: { ...content, ...credentials, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NetworkError("The server could not be reached.");
  }
}

/** Who stands before the API answers without a problem document. */
async function readProblem(response) {
  const { status } = response;
  const retryable = status >= 500 || status === 429;
  const title = retryable ? "The service cannot answer right now. Wait a little, then try again." : "Unexpected answer";
  const unknown = { type: "unknown", title, status, retryable };
  try {
    return { ...unknown, ...(await response.json()) };
  } catch {
    return unknown;
  }
}

async function json(method, path, options) {
  const response = await request(method, path, options);
  try {
    return await response.json();
  } catch {
    throw new NetworkError("The answer broke off.");
  }
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const WITH_REASONING = { reasoning: true };
const thread = (id) => `threads/${encodeURIComponent(id)}`;
const turn = (threadId, turnId) => `${thread(threadId)}/turns/${encodeURIComponent(turnId)}`;
const feedback = (threadId, messageId) => `${thread(threadId)}/messages/${encodeURIComponent(messageId)}/feedback`;

export const getInfo = () => json("GET", "info");
export const listTools = () => json("GET", "tools");
export const listThreads = (parameters) => json("GET", `threads${query(parameters)}`);
export const createThread = (body) => json("POST", "threads", { body });
export const getThread = (id) => json("GET", thread(id));
export const updateThread = (id, body) => json("PATCH", thread(id), { body });
export const deleteThread = (id, options) => request("DELETE", thread(id), options);
export const listApprovals = (id) => json("GET", `${thread(id)}/approvals`);
export const removeApprovals = (id) => request("DELETE", `${thread(id)}/approvals`);
export const listMessages = (id, parameters) => json("GET", `${thread(id)}/messages${query({ ...parameters, ...WITH_REASONING })}`);
export const putFeedback = (threadId, messageId, body) => json("PUT", feedback(threadId, messageId), { body });
export const deleteFeedback = (threadId, messageId) => request("DELETE", feedback(threadId, messageId));
export const getTurn = (threadId, turnId) => json("GET", turn(threadId, turnId));
export const cancelTurn = (threadId, turnId) => request("POST", `${turn(threadId, turnId)}/cancel`);

/** Open the stream of a new turn: the answer to a message. */
export function openTurn(threadId, { content, key }, signal) {
  return request("POST", `${thread(threadId)}/messages${query(WITH_REASONING)}`, {
    // The key is kept with the message, so that whichever page shows it can send it again.
    body: { content, metadata: { idempotency_key: key } },
    headers: { Accept: "text/event-stream", "Idempotency-Key": key },
    signal,
  });
}

/** Open the stream of the turn that goes on with a paused one. */
export function openContinuation(threadId, { turnId, decisions, key }, signal) {
  return request("POST", `${turn(threadId, turnId)}/continue${query(WITH_REASONING)}`, {
    body: decisions,
    headers: { Accept: "text/event-stream", "Idempotency-Key": key },
    signal,
  });
}

/** Open the stream of a turn's events after the one with the id `after`. */
export function openEvents(threadId, turnId, after, signal) {
  const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
  return request("GET", `${turn(threadId, turnId)}/events${query(WITH_REASONING)}`, { headers, signal });
}
