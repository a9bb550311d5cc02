/** Tool calls: a line that says at a glance what was asked and what came back, and opens to all of it. */

import { copyButton, h, icon, link } from "./dom.js";
import { fill, inLanguage, loadTools, toolView } from "./tools.js";
import { duration } from "./format.js";

const GLANCES = { figure: figureGlance, equation: equationGlance, sources: searchGlance };

function figureGlance(call, view) {
  const headline = fill(view.headline, call);
  if (headline === null) return null;
  const caption = view.caption.map((template) => fill(template, call)).filter(Boolean).join(", ");
  const details = view.details.map(({ label, value }) => [inLanguage(label), fill(value, call)]).filter(([, value]) => value);
  return [
    h("strong", { class: "figure" }, headline),
    h("span", { class: "place" }, caption),
    h("span", { class: "more second" }, details.map((detail) => detail.join(" ")).join(" · ")),
  ];
}

function equationGlance(call, view) {
  const headline = fill(view.headline, call);
  if (headline === null) return null;
  const caption = view.caption.map((template) => fill(template, call)).filter(Boolean).join(", ");
  return [
    h("span", { class: "expression" }, readable(caption)),
    h("span", { class: "equals" }, "="),
    h("strong", { class: "figure" }, headline),
  ];
}

function searchGlance({ result }, _, title) {
  if (!Array.isArray(result)) return null;
  const count = result.length === 1 ? "1 found" : `${result.length} found`;
  return [h("span", {}, `${title}: ${count}`)];
}

function searchDetails({ result }) {
  if (!Array.isArray(result) || !result.length) return null;
  const entries = result.map((hit) => h("li", {}, link(hit?.url, text(hit?.title ?? hit?.url)), h("p", {}, text(hit?.snippet ?? ""))));
  return h("ul", { class: "hits" }, ...entries);
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
const readable = (expression) =>
  text(expression ?? "").replace(/\s*\*\*\s*/g, "^").replace(/\s*\*\s*/g, " × ").replace(/\s*\/\s*/g, " ÷ ");

// What became of a call that has no result, beside its line's colour.
const ICONS = { failed: "alert", refused: "close", unknown: "question" };
const TAGS = { refused: "Refused", unknown: "Outcome not known" };

function outcomeOf({ status, error }) {
  if (status === "refused" || status === "unknown") return status;
  return error === undefined || error === null ? "" : "failed";
}

/** A tool call in an answer. */
export class ToolCallView {
  constructor(call) {
    this.summary = h("summary", {});
    this.body = h("div", { class: "tool-body" });
    this.element = h("details", { class: "tool" }, this.summary, this.body);
    this.update(call);
  }

  /** Show the call as it is now; `running` means that there is no result yet. */
  update(call) {
    const tool = toolView(call.tool);
    if (!tool) loadTools().then(() => toolView(call.tool) && this.update(call));
    const outcome = call.running ? "running" : outcomeOf(call);
    this.element.className = `tool ${outcome}`.trim();
    const title = inLanguage(tool?.title) || call.tool;
    const shown = outcome ? null : tool?.result;
    const glance = (shown && GLANCES[shown.kind]?.(call, shown, title)) ?? [
      h("span", {}, title),
      h("span", { class: "more" }, readable(fill(tool?.subject ?? "", call) ?? "")),
    ];
    const tag = TAGS[outcome];
    if (tag) glance.push(h("span", { class: "tag" }, tag));
    const more = { running: call.progress, failed: call.error, unknown: call.error, refused: call.reason }[outcome];
    if (more) glance.push(h("span", { class: "more second" }, text(more)));
    const refused = outcome === "refused";
    this.summary.replaceChildren(
      icon(ICONS[outcome] ?? iconOf(tool, call)),
      h("span", { class: "glance" }, ...glance.filter(Boolean)),
      call.running ? h("span", { class: "spinner", role: "img", "aria-label": "running" }) : h("span", { class: "time" }, refused ? "" : duration(call.duration_ms)),
      icon("chevron"),
    );
    const details = shown?.kind === "sources" ? searchDetails(call) : null;
    const heading = h("p", { class: "tool-name" }, h("code", {}, call.tool), call.running ? " is running" : refused ? " did not run" : took(call));
    const rest = [heading, section("Arguments", call.arguments)];
    if (!call.running) rest.push(outcome ? section(outcome === "failed" ? "Error" : "Outcome", call.error ?? call.reason ?? "") : section("Result", call.result));
    this.body.replaceChildren(...[details, ...rest].filter(Boolean));
  }
}

function iconOf(tool, call) {
  const { icon_by: field, icons = {} } = tool?.result ?? {};
  const value = field ? text(call.result?.[field] ?? "") : "";
  const found = value && Object.entries(icons).find(([pattern]) => new RegExp(pattern, "i").test(value));
  return found ? found[1] : tool?.icon ?? "wrench";
}

function took(call) {
  return typeof call.duration_ms === "number" ? ` took ${duration(call.duration_ms)}` : "";
}

function section(title, value) {
  const shown = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
  return h(
    "figure",
    { class: "code" },
    h("figcaption", {}, h("span", {}, title), copyButton(`Copy ${title.toLowerCase()}`, () => shown)),
    h("pre", { tabindex: "0" }, shown),
  );
}
