/** Thumbs below an answer, and what the user wants to say with a thumb down. */

import { deleteFeedback, putFeedback } from "./api.js";
import { announce, h, iconButton } from "./dom.js";
import { broadcast } from "./tabs.js";
import { showToast } from "./toasts.js";
import { problemText } from "./format.js";

/** The rating of one answer: `buttons` for its footer, `form` for below it. */
export class FeedbackView {
  #message = null;
  #rating = null;
  #busy = false;
  #presses = Promise.resolve();

  constructor() {
    this.up = iconButton("thumb-up", "Good answer", () => this.#toggle("up"), { "aria-pressed": "false" });
    this.down = iconButton("thumb-down", "Bad answer", () => this.#toggle("down"), { "aria-pressed": "false" });
    this.buttons = h("span", { class: "thumbs", role: "group", "aria-label": "Rate this answer" }, this.up, this.down);
    this.comment = h("textarea", { rows: "2", maxlength: "2000", placeholder: "What was wrong? (optional)", "aria-label": "What was wrong? (optional)" });
    this.form = h(
      "form",
      { class: "comment", hidden: true, onsubmit: (event) => this.#send(event), onkeydown: (event) => this.#key(event) },
      this.comment,
      h(
        "div",
        { class: "comment-actions" },
        h("button", { type: "button", class: "pill", onclick: () => this.#close() }, "Not now"),
        h("button", { type: "submit", class: "pill strong" }, "Send"),
      ),
    );
  }

  /** Show what is stored with the message. */
  show(message) {
    this.#message = message;
    if (!this.#busy) this.#press(message.feedback?.rating ?? null);
  }

  #press(rating) {
    this.#rating = rating;
    this.up.setAttribute("aria-pressed", String(rating === "up"));
    this.down.setAttribute("aria-pressed", String(rating === "down"));
    this.buttons.classList.toggle("rated", rating !== null);
    if (rating !== "down") this.form.hidden = true;
  }

  /** One press after another: the second is about what the first has stored. */
  #toggle(rating) {
    this.#presses = this.#presses.then(() => this.#rate(rating));
  }

  async #rate(rating) {
    const next = this.#rating === rating ? null : rating;
    if (!(await this.#store(next, null)) || next !== "down") return;
    this.comment.value = "";
    this.form.hidden = false;
    this.comment.focus();
    this.form.scrollIntoView({ block: "nearest" });
  }

  async #send(event) {
    event.preventDefault();
    await this.#presses;
    const comment = this.comment.value.trim();
    if (comment && !(await this.#store("down", comment))) return;
    this.#close();
    if (comment) showToast("Thank you. Your comment was saved.");
  }

  #key(event) {
    if (event.key === "Escape") this.#close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    else return;
    event.preventDefault();
  }

  #close() {
    this.form.hidden = true;
    this.down.focus();
  }

  /** Store a rating, or take it back with `null`; shown at once, and taken back from the screen if that fails. */
  async #store(rating, comment) {
    if (this.#busy) return false;
    this.#busy = true;
    const { id, thread_id: threadId } = this.#message;
    const before = this.#rating;
    this.#press(rating);
    try {
      if (rating === null) await deleteFeedback(threadId, id);
      else await putFeedback(threadId, id, comment ? { rating, comment } : { rating });
      announce(rating === null ? "Rating taken back" : "Rating saved");
      broadcast(threadId);
      return true;
    } catch ({ problem }) {
      this.#press(before);
      showToast(`That was not saved. ${problem?.type === "network" ? problem.detail : problemText(problem)}`);
      return false;
    } finally {
      this.#busy = false;
    }
  }
}
