/** What the tools say about how they are shown: asked for once, when the first call is seen. */

import { listTools } from "./api.js";

let views = new Map();
let loading = null;

/** Return how a tool and its calls are shown; `undefined` for one that is not known (yet). */
export const toolView = (name) => views.get(name);

/** Ask for the tools, once; resolves when they are known, and never fails: calls can be shown without. */
export function loadTools() {
  loading ??= listTools().then(
    ({ tools }) => (views = new Map(tools.map((view) => [view.name, view]))),
    () => (loading = null),
  );
  return loading;
}

/** Return a text in the page's language, else in English, else in the first one that there is. */
export function inLanguage(texts) {
  const known = texts ?? {};
  return known[document.documentElement.dataset.language] ?? known.en ?? Object.values(known)[0] ?? "";
}

/**
 * Fill a template: `{name}` is a field of the result, or else of the arguments, `{result}` the result itself. Returns `null` if a
 * field is missing.
 */
export function fill(template, { arguments: asked, result }) {
  const isObject = typeof result === "object" && result !== null && !Array.isArray(result);
  const fields = { ...asked, ...(isObject ? result : { result }) };
  let missing = false;
  const filled = template.replace(/\{(\w+)\}/g, (_, name) => {
    const value = Object.hasOwn(fields, name) ? fields[name] : null;
    missing ||= value === null || value === undefined;
    return typeof value === "string" ? value : JSON.stringify(value) ?? "";
  });
  return missing ? null : filled;
}
