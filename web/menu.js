/** A menu that opens at a button: https://www.w3.org/WAI/ARIA/apg/patterns/menu-button/ */

import { h, icon } from "./dom.js";

let openMenu = null;

/**
 * Open a menu at a button; a second call at the same button closes it.
 *
 * @param {HTMLElement} button
 * @param {{label: string, icon: string, run: () => void, danger?: boolean}[]} items
 */
export function toggleMenu(button, items) {
  const wasOpen = openMenu?.button === button;
  openMenu?.close();
  if (!wasOpen) openMenu = new Menu(button, items);
}

class Menu {
  constructor(button, items) {
    this.button = button;
    this.items = items.map((item) =>
      h(
        "button",
        { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : null, onclick: () => this.#choose(item) },
        icon(item.icon),
        item.label,
      ),
    );
    this.element = h("div", { class: "menu", role: "menu", "aria-label": button.getAttribute("aria-label") }, ...this.items);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusout", (event) => this.element.contains(event.relatedTarget) || this.close(false));
    this.outside = (event) => this.element.contains(event.target) || this.button.contains(event.target) || this.close(false);
    document.addEventListener("pointerdown", this.outside, true);
    document.body.append(this.element);
    this.#place();
    button.setAttribute("aria-expanded", "true");
    this.items[0].focus();
  }

  close(focusButton = true) {
    if (openMenu !== this) return;
    openMenu = null;
    document.removeEventListener("pointerdown", this.outside, true);
    this.button.setAttribute("aria-expanded", "false");
    this.element.remove();
    if (focusButton) this.button.focus();
  }

  #place() {
    const at = this.button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.min(at.left, innerWidth - width - 8);
    const top = at.bottom + height + 8 > innerHeight ? at.top - height - 4 : at.bottom + 4;
    this.element.style.left = `${Math.max(8, left)}px`;
    this.element.style.top = `${Math.max(8, top)}px`;
  }

  #choose(item) {
    this.close();
    item.run();
  }

  #key(event) {
    const at = this.items.indexOf(document.activeElement);
    const last = this.items.length - 1;
    const moves = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last };
    if (event.key in moves) this.items[moves[event.key]].focus();
    else if (event.key === "Escape") this.close();
    else if (event.key === "Tab") return this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
