/** Short messages at the edge of the page, with at most one action. */

import { h, iconButton } from "./dom.js";

/**
 * Show a toast; it stays while the pointer or the focus is on it.
 *
 * @param {string} text
 * @param {{action?: {label: string, run: () => void}, seconds?: number, onExpire?: () => void}} [options] `onExpire` is called when
 *   the toast goes without its action having been used
 * @returns {{expire: () => void}} `expire` ends it at once
 */
export function showToast(text, { action, seconds = 6, onExpire = () => {} } = {}) {
  let timer = null;
  let gone = false;
  const leave = (done) => {
    if (gone) return;
    gone = true;
    clearTimeout(timer);
    element.remove();
    done();
  };
  const expire = () => leave(onExpire);
  const element = h(
    "div",
    { class: "toast" },
    h("span", {}, text),
    action && h("button", { type: "button", class: "toast-action", onclick: () => leave(action.run) }, action.label),
    iconButton("close", "Dismiss", expire),
  );
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(expire, seconds * 1000);
  };
  const held = () => element.matches(":hover") || element.contains(document.activeElement);
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("focusin", () => clearTimeout(timer));
  element.addEventListener("pointerleave", () => held() || start());
  element.addEventListener("focusout", () => setTimeout(() => held() || start()));
  document.getElementById("toasts").append(element);
  start();
  return { expire };
}
