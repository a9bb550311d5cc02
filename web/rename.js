/** Renaming in place: a text becomes an input until Enter, Escape or the loss of the focus. */

import { h } from "./dom.js";

/**
 * Let the user change a title where it stands.
 *
 * @param {HTMLElement} element what shows the title; it is hidden meanwhile
 * @param {string} title
 * @returns {Promise<string | null>} the new title, or `null` if it stays as it is
 */
export function editInPlace(element, title) {
  return new Promise((resolve) => {
    const input = h("input", { class: "rename", "aria-label": "Title of the conversation", maxlength: "200", value: title });
    let done = false;
    const finish = (value) => {
      if (done) return;
      done = true;
      const hadFocus = document.activeElement === input;
      input.remove();
      element.hidden = false;
      if (hadFocus) element.focus();
      const changed = value?.trim();
      resolve(changed && changed !== title ? changed : null);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.isComposing) finish(input.value);
      else if (event.key === "Escape") finish(null);
      else return;
      event.preventDefault();
    });
    input.addEventListener("blur", () => finish(input.value));
    element.hidden = true;
    element.before(input);
    input.focus();
    input.select();
  });
}
