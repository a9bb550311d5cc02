/** The sidebar: beside the conversation where there is room, else a drawer over it. */

import { save } from "./storage.js";

const phone = matchMedia("(max-width: 800px)");

export class Sidebar {
  constructor() {
    this.root = document.documentElement;
    this.element = document.getElementById("sidebar");
    this.main = document.getElementById("main");
    this.openButton = document.getElementById("open-sidebar");
    this.openButton.addEventListener("click", () => this.open());
    document.getElementById("close-sidebar").addEventListener("click", () => this.close());
    document.getElementById("scrim").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.root.dataset.drawer && this.close());
    phone.addEventListener("change", () => this.#leaveDrawer());
  }

  open() {
    if (phone.matches) {
      this.root.dataset.drawer = "open";
      // Nothing behind the drawer can be reached while it is open.
      this.main.inert = true;
      this.element.setAttribute("role", "dialog");
      this.element.setAttribute("aria-modal", "true");
      this.openButton.setAttribute("aria-expanded", "true");
    } else {
      delete this.root.dataset.sidebar;
      save("sidebar", null);
    }
    document.getElementById("close-sidebar").focus();
  }

  close() {
    if (phone.matches) this.#leaveDrawer();
    else {
      this.root.dataset.sidebar = "closed";
      save("sidebar", "closed");
    }
    this.openButton.focus();
  }

  /** Close the drawer, if it is one: the user has chosen. */
  closeDrawer() {
    if (this.root.dataset.drawer) this.#leaveDrawer();
  }

  #leaveDrawer() {
    delete this.root.dataset.drawer;
    this.main.inert = false;
    this.element.removeAttribute("role");
    this.element.removeAttribute("aria-modal");
    this.openButton.setAttribute("aria-expanded", "false");
  }
}

/** Let a button go through the themes: as the system has it, light, dark. */
export function setUpTheme(button) {
  const themes = ["system", "light", "dark"];
  const root = document.documentElement;
  const show = () => (button.querySelector("span").textContent = `Theme: ${root.dataset.theme ?? "system"}`);
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    save("theme", next === "system" ? null : next);
    show();
  });
  show();
}
