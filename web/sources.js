/** What an answer cites: the marks in its text, such as [1], and the list of sources below it. */

import { h, icon, link } from "./dom.js";

const MARK = /\[([1-9]\d{0,2})\]/;

/** The sources of an answer. */
export class SourcesView {
  #entries = new Map();

  constructor() {
    this.element = h("section", { class: "sources", "aria-label": "Sources", hidden: true });
  }

  /** Show the sources, and make the marks in `prose` that point to one of them lead there. */
  show(citations, prose) {
    this.#entries = new Map(citations.map((citation) => [citation.index, { citation, element: entry(citation) }]));
    const items = [...this.#entries.values()].map(({ element }) => h("li", {}, element));
    this.element.replaceChildren(h("h3", {}, "Sources"), h("ol", {}, ...items));
    this.element.hidden = !items.length;
    if (items.length) this.#link(prose);
  }

  #link(prose) {
    const walker = document.createTreeWalker(prose, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) {
      if (MARK.test(walker.currentNode.data) && !walker.currentNode.parentElement.closest("a, button, code, pre")) texts.push(walker.currentNode);
    }
    for (const text of texts) {
      // The numbers stand at the odd places.
      const parts = text.data.split(new RegExp(MARK, "g")).map((part, at) => (at % 2 ? this.#mark(Number(part)) : part));
      text.replaceWith(...parts);
    }
  }

  #mark(index) {
    const known = this.#entries.get(index);
    if (!known) return `[${index}]`;
    const label = `Source ${index}: ${known.citation.title}`;
    return h("button", { type: "button", class: "mark", title: known.citation.title, "aria-label": label, onclick: () => open(known.element) }, `[${index}]`);
  }
}

function entry({ index, title, url, snippet }) {
  return h(
    "details",
    { class: "source" },
    h("summary", {}, h("span", { class: "number" }, String(index)), h("span", { class: "source-title" }, title), icon("chevron")),
    h("div", { class: "source-body" }, h("p", {}, snippet), url && link(url, url)),
  );
}

function open(element) {
  element.open = true;
  element.querySelector("summary").focus();
  element.scrollIntoView({ block: "nearest" });
}
