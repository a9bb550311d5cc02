/** Keeps the tabs of this browser in agreement: each tells the others what it has changed. */

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("agent-chat") : null;

/** Tell the other tabs that a thread, or the list of threads, has changed. */
export function broadcast(threadId = null) {
  channel?.postMessage({ threadId });
}

/** Call `onChange` with a thread's id (or `null`) when another tab has changed it, or this one may have missed something. */
export function onRemoteChange(onChange) {
  channel?.addEventListener("message", (event) => onChange(event.data?.threadId ?? null));
  const catchUp = () => document.visibilityState === "visible" && onChange(null, true);
  document.addEventListener("visibilitychange", catchUp);
  addEventListener("focus", catchUp);
  addEventListener("online", catchUp);
  addEventListener("pageshow", (event) => event.persisted && catchUp());
}
