/**
 * Markdown to elements, for text that nobody vouches for.
 *
 * Two nets: the renderer writes raw HTML as the text it is, and DOMPurify lets only the elements and attributes below through. What
 * comes out is a fragment: the page itself never assigns HTML. Under the page's Content-Security-Policy (Trusted Types) only
 * DOMPurify could.
 */

import { copyButton, h } from "./dom.js";
import { Marked } from "./vendor/marked.esm.js";
import DOMPurify from "./vendor/purify.es.mjs";

const SAFE_ADDRESS = /^(?:https?:\/\/|mailto:)/i;
// Raw HTML that models write on purpose; it has no attributes.
const PLAIN_TAG = /^<\/?(?:br|sub|sup|kbd|u)\s*\/?>$/i;
const SANITISER = {
  ALLOWED_TAGS: (
    "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i input kbd li ol p pre s strong sub sup table tbody td th thead tr u ul"
  ).split(" "),
  ALLOWED_ATTR: ["href", "title", "class", "start", "align", "type", "checked", "disabled"],
  ALLOWED_URI_REGEXP: SAFE_ADDRESS,
  // These are no addresses, which the pattern would have them be.
  ADD_URI_SAFE_ATTR: ["align", "start", "type"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const escapeHtml = (text) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => (PLAIN_TAG.test(text.trim()) ? text : escapeHtml(text)),
    // The page loads nothing from other hosts: an image becomes a link to it.
    image({ href, text }) {
      const label = escapeHtml(text || "image");
      return SAFE_ADDRESS.test(href) ? `<a href="${escapeHtml(href)}">${label}</a>` : label;
    },
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  // Markdown's own class names the language of code; any other could dress text up as a part of the page.
  if (node.hasAttribute("class") && !(node.tagName === "CODE" && /^language-[\w+#.-]{1,30}$/.test(node.className))) {
    node.removeAttribute("class");
  }
  // The boxes of a task list are the only controls.
  if (node.tagName === "INPUT") {
    if (node.type !== "checkbox") node.remove();
    node.setAttribute("disabled", "");
  }
});

/** Shows Markdown in an element, again and again as it grows; blocks that stay the same keep their elements. */
export class MarkdownView {
  #blocks = [];
  #links = "{}";

  constructor() {
    this.element = h("div", { class: "prose" });
  }

  /** Show the text. */
  update(text) {
    const tokens = marked.lexer(text);
    // A definition at the end can turn text far above into a link.
    const links = JSON.stringify(tokens.links);
    let same = 0;
    if (links === this.#links) {
      while (same < tokens.length && this.#blocks[same]?.raw === tokens[same].raw) same += 1;
    }
    this.#links = links;
    for (const block of this.#blocks.splice(same)) block.element.remove();
    for (const token of tokens.slice(same)) {
      const element = h("div", { class: "block" });
      element.append(render(token));
      this.#blocks.push({ raw: token.raw, element });
      this.element.append(element);
    }
  }
}

function render(token) {
  const fragment = DOMPurify.sanitize(marked.parser([token]), SANITISER);
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock(pre));
  for (const table of fragment.querySelectorAll("table")) {
    const scroller = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(scroller);
    scroller.append(table);
  }
  for (const box of fragment.querySelectorAll("input")) box.setAttribute("aria-label", box.checked ? "Done" : "To do");
  return fragment;
}

function codeBlock(pre) {
  const language = /language-(\S+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
  pre.tabIndex = 0;
  return h(
    "figure",
    { class: "code" },
    h("figcaption", {}, h("span", {}, language || "text"), copyButton("Copy code", () => pre.textContent)),
    pre.cloneNode(true),
  );
}
