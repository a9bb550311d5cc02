/** The message box: grows with its text, sends on Enter, and keeps what is not sent yet, for each thread. */

import { load, save } from "./storage.js";

const MAX_LENGTH = 32_000;

export class Composer {
  #busy = false;
  #draftKey = "draft:";

  /** `onSend` gets the text, `onStop` is called for the Stop button. */
  constructor({ onSend, onStop }) {
    this.input = document.getElementById("input");
    this.sendButton = document.getElementById("send");
    this.stopButton = document.getElementById("stop");
    this.onSend = onSend;
    this.input.addEventListener("input", () => this.#changed());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    document.getElementById("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    document.getElementById("composer").addEventListener("click", (event) => {
      if (event.target.id === "composer") this.input.focus();
    });
    this.stopButton.addEventListener("click", () => {
      onStop();
      this.input.focus();
    });
    addEventListener("resize", () => this.#fit());
  }

  get text() {
    return this.input.value;
  }

  set text(value) {
    this.input.value = value;
    this.#changed();
  }

  /** Show the Stop button instead of the Send button while an answer is written. */
  setBusy(busy) {
    this.#busy = busy;
    const hadFocus = document.activeElement === this.stopButton || document.activeElement === this.sendButton;
    this.stopButton.hidden = !busy;
    this.sendButton.hidden = busy;
    if (hadFocus) this.input.focus();
  }

  /** Change to another thread's draft. */
  setThread(threadId) {
    this.#draftKey = `draft:${threadId ?? ""}`;
    this.text = load(this.#draftKey, "sessionStorage") ?? "";
  }

  /** Put the cursor into the box; not on a touch screen, where the keyboard would cover the page. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.input.focus();
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.input.value.trim();
    if (!text || this.#busy || text.length > MAX_LENGTH) return;
    this.text = "";
    this.onSend(text);
  }

  #changed() {
    this.sendButton.disabled = !this.input.value.trim();
    save(this.#draftKey, this.input.value, "sessionStorage");
    this.#fit();
  }

  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }
}
