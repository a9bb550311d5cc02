/** A menu that opens at a button: https://www.w3.org/WAI/ARIA/apg/patterns/menu-button/ */

import { h, icon } from "./dom.js";

// For an item that comes later: as wide as a menu may be, and below it.
const MAX_WIDTH = 300;
const ROOM = 56;
let openMenu = null;

/**
 * Open a menu at a button, and return it; a second call at the same button closes it.
 *
 * @param {HTMLElement} button
 * @param {{label: string, icon: string, run: () => void, danger?: boolean}[]} items
 * @returns {Menu | null}
 */
export function toggleMenu(button, items) {
  const wasOpen = openMenu?.button === button;
  openMenu?.close();
  if (!wasOpen) openMenu = new Menu(button, items);
  return openMenu;
}

class Menu {
  constructor(button, items) {
    this.button = button;
    this.items = items.map((item) => this.#make(item));
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

  /** Add an item at the end that is away from the button: those that are there already stay where they are. */
  add(item) {
    const made = this.#make(item);
    if (this.above) this.items.unshift(made);
    else this.items.push(made);
    this.element[this.above ? "prepend" : "append"](made);
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
    const height = this.element.offsetHeight;
    this.above = at.bottom + height + ROOM > innerHeight && at.top > height;
    if (at.left + MAX_WIDTH > innerWidth) this.element.style.right = `${Math.max(8, innerWidth - at.right)}px`;
    else this.element.style.left = `${at.left}px`;
    if (this.above) this.element.style.bottom = `${innerHeight - at.top + 4}px`;
    else this.element.style.top = `${at.bottom + 4}px`;
  }

  #make(item) {
    return h(
      "button",
      { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : null, onclick: () => this.#choose(item) },
      icon(item.icon),
      item.label,
    );
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
