/** Tool calls: a line that says at a glance what was asked and what came back, and opens to all of it. */

import { copyButton, h, icon, link } from "./dom.js";
import { duration } from "./words.js";

const CONDITIONS = [
  [/thunder/i, "storm"],
  [/snow/i, "snow"],
  [/rain|drizzle|shower/i, "rain"],
  [/fog|mist/i, "fog"],
  [/partly/i, "partly"],
  [/cloud|overcast/i, "cloud"],
  [/clear|sun/i, "sun"],
];

/** What there is to say of each tool; `glance` returns what follows the name once there is a result. */
const TOOLS = {
  get_weather: {
    icon: (call) => CONDITIONS.find(([pattern]) => pattern.test(call.result?.condition))?.[1] ?? "partly",
    name: "Weather",
    subject: (call) => call.arguments?.location,
    glance: weatherGlance,
  },
  calculate: {
    icon: () => "calculator",
    name: "Calculation",
    subject: (call) => readable(call.arguments?.expression),
    glance: (call) => [
      h("span", { class: "expression" }, readable(call.arguments?.expression)),
      h("span", { class: "equals" }, "="),
      h("strong", { class: "figure" }, text(call.result)),
    ],
  },
  search_knowledge_base: {
    icon: () => "book",
    name: "Help articles",
    subject: (call) => call.arguments?.query,
    glance: searchGlance,
    details: searchDetails,
  },
};

function weatherGlance({ result, arguments: asked }) {
  if (typeof result?.temperature !== "number") return null;
  const place = [result.location ?? asked?.location, result.country].filter(Boolean).join(", ");
  const more = [
    result.condition,
    typeof result.humidity === "number" && `${result.humidity} % humidity`,
    typeof result.wind_speed === "number" && `wind ${result.wind_speed} ${text(result.wind_unit ?? "")}`,
  ].filter(Boolean);
  return [
    h("strong", { class: "figure" }, `${result.temperature} ${text(result.unit ?? "°")}`),
    h("span", { class: "place" }, place),
    result.source === "sample" && h("span", { class: "tag" }, "sample data"),
    h("span", { class: "more second" }, more.map(text).join(" · ")),
  ];
}

function searchGlance({ result }) {
  if (!Array.isArray(result)) return null;
  const count = result.length === 1 ? "1 article" : `${result.length} articles`;
  return [h("span", {}, `Searched the help: ${count}`)];
}

function searchDetails({ result }) {
  if (!Array.isArray(result) || !result.length) return null;
  const entries = result.map((hit) => h("li", {}, link(hit?.url, text(hit?.title ?? hit?.url)), h("p", {}, text(hit?.snippet ?? ""))));
  return h("ul", { class: "hits" }, ...entries);
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
const readable = (expression) =>
  text(expression ?? "").replace(/\s*\*\*\s*/g, "^").replace(/\s*\*\s*/g, " × ").replace(/\s*\/\s*/g, " ÷ ");

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
    const tool = Object.hasOwn(TOOLS, call.tool) ? TOOLS[call.tool] : { icon: () => "wrench", name: call.tool, subject: () => "", glance: () => null };
    const failed = call.error !== undefined && call.error !== null;
    this.element.classList.toggle("running", Boolean(call.running));
    this.element.classList.toggle("failed", failed);
    const subject = text(tool.subject(call) ?? "");
    let glance = null;
    if (!call.running && !failed) glance = tool.glance(call);
    glance ??= [h("span", {}, tool.name), h("span", { class: "more" }, subject)];
    if (failed) glance.push(h("span", { class: "more second" }, text(call.error)));
    this.summary.replaceChildren(
      icon(failed ? "alert" : tool.icon(call)),
      h("span", { class: "glance" }, ...glance.filter(Boolean)),
      call.running ? h("span", { class: "spinner", role: "img", "aria-label": "running" }) : h("span", { class: "time" }, duration(call.duration_ms)),
      icon("chevron"),
    );
    const details = !failed && !call.running ? tool.details?.(call) : null;
    const heading = h("p", { class: "tool-name" }, h("code", {}, call.tool), call.running ? " is running" : took(call));
    const rest = [heading, section("Arguments", call.arguments)];
    if (!call.running) rest.push(failed ? section("Error", call.error) : section("Result", call.result));
    this.body.replaceChildren(...[details, ...rest].filter(Boolean));
  }
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
