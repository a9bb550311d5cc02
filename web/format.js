/** What the page says: problems in plain words, times, titles. */

const PROBLEMS = {
  network: "The connection to the server was lost before your message could be sent.",
  turn_in_progress: "An earlier message is still being answered.",
  turn_interrupted: "The answer was interrupted before it was finished. Your message was kept.",
  turn_timeout: "The answer took too long and was given up.",
  store_unavailable: "The conversations cannot be reached right now.",
  model_throttled: "Too many questions are being asked at the moment. Wait a little, then try again.",
  model_unavailable: "The model cannot be reached right now.",
  model_timeout: "The model did not answer in time.",
  model_misconfigured: "The model is not set up correctly. Whoever runs this service finds the reason in its log.",
  content_filtered: "The model’s content filter refused this. Try to say it differently.",
  context_overflow: "This conversation has become too long for the model. Start a new one.",
  approval_expired: "The time to allow this is over. It can only be refused.",
  message_not_found: "This answer does not exist any more.",
  thread_not_found: "This conversation does not exist any more.",
  body_too_large: "This message is too long.",
  not_ready: "The service is still starting.",
  internal_error: "Something went wrong on the server.",
};

/** Return a problem in words that help; what the API says of itself where there are no better ones. */
export function problemText(problem) {
  if (problem?.type === "validation_failed" && problem.errors?.length) {
    return problem.errors.map((error) => `${error.field.replace(/^body\./, "")}: ${error.message}`).join("; ");
  }
  return PROBLEMS[problem?.type] ?? problem?.detail ?? problem?.title ?? "Something went wrong.";
}

/** Return a thread's title: the beginning of its first message, cut at a word's end. */
export function titleFrom(content, length = 60) {
  const text = content.replace(/\s+/g, " ").trim();
  if (text.length <= length) return text;
  const cut = text.slice(0, length - 1);
  const space = cut.lastIndexOf(" ");
  return `${(space > length / 2 ? cut.slice(0, space) : cut).replace(/[\s,;:.–-]+$/, "")}…`;
}

export const threadTitle = (thread) => thread.title || thread.last_message_preview || "Untitled conversation";

/** Return how long something took: `12 ms`, `1.4 s`. */
export function duration(milliseconds) {
  if (typeof milliseconds !== "number") return "";
  if (milliseconds < 1) return "< 1 ms";
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Return the heading under which a time stands in the list: Today, Yesterday, … */
export function dayGroup(timestamp, now = new Date()) {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const days = Math.ceil((midnight - new Date(timestamp)) / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days <= 7) return "Previous 7 days";
  if (days <= 30) return "Previous 30 days";
  return "Older";
}

/** Return a point in time for a person: only the time if it is today. */
export function clock(timestamp) {
  const date = new Date(timestamp);
  const today = date.toDateString() === new Date().toDateString();
  const options = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(undefined, options).format(date);
}

/** Return the line that says which model answers. */
export function modelLine({ model, model_kind: kind }) {
  if (kind === "offline") return "Offline model: answers by rules.";
  const where = { azure: " on Azure OpenAI" }[kind] ?? "";
  return `${model}${where} answers. It can be wrong: check what matters.`;
}
