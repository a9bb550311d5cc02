/** What the model thought before it answered: a line that opens to all of it. */

import { h, icon } from "./dom.js";

/** The thoughts of one answer; there is nothing to see until there are any. */
export class ReasoningView {
  #label = h("span", {});
  // One node that grows: thoughts come in thousands of pieces.
  #text = document.createTextNode("");
  #details = h("details", { class: "thoughts" }, h("summary", {}, icon("chevron"), this.#label), h("div", { class: "thoughts-body" }, this.#text));

  constructor() {
    this.element = h("div", {});
  }

  /** Add a piece, which has just come. */
  append(text) {
    this.#text.appendData(text);
    this.#show("Thinking…");
  }

  /** Say that the model goes on to something else. */
  pause() {
    if (this.#text.data) this.#show("Thoughts");
  }

  /** Show all of it, as it was stored. */
  finish(text) {
    if (this.#text.data !== text) this.#text.data = text;
    this.pause();
    if (!text.trim()) this.element.replaceChildren();
  }

  #show(label) {
    if (this.#label.textContent !== label) this.#label.textContent = label;
    if (!this.#details.parentNode && this.#text.data.trim()) this.element.append(this.#details);
  }
}
