/** The list of threads: newest first, by day, with what can be done to each. */

import { deleteThread, listApprovals, listThreads, removeApprovals, updateThread } from "./api.js";
import { h, icon, iconButton } from "./dom.js";
import { toggleMenu } from "./menu.js";
import { editInPlace } from "./rename.js";
import { broadcast } from "./tabs.js";
import { showToast } from "./toasts.js";
import { inLanguage, loadTools, toolView } from "./tools.js";
import { dayGroup, problemText, threadTitle } from "./format.js";

const PAGE_SIZE = 30;
const MAX_PAGE_SIZE = 100;
const UNDO_SECONDS = 8;

export class ThreadList extends EventTarget {
  threads = [];
  status = "active";
  current = null;
  #cursor = null;
  #rows = new Map();
  #deletions = new Map();
  #refreshes = 0;
  #renaming = false;

  /** Events: `change` when the list is different, `left` with the id of a thread that is gone from the list. */
  constructor() {
    super();
    this.element = document.getElementById("threads");
    for (const button of document.querySelectorAll("[data-status]")) {
      button.addEventListener("click", () => this.show(button.dataset.status));
    }
    // Whoever leaves the page has not asked to undo.
    addEventListener("pagehide", () => [...this.#deletions.values()].forEach((deletion) => deletion.now({ keepalive: true })));
  }

  /** Show the active or the archived threads. */
  async show(status) {
    this.status = status;
    for (const button of document.querySelectorAll("[data-status]")) {
      button.setAttribute("aria-pressed", String(button.dataset.status === status));
    }
    this.threads = [];
    this.#cursor = null;
    this.#showSkeleton();
    await this.refresh();
  }

  /** Read the list again, as much of it as is shown. */
  async refresh() {
    const refresh = ++this.#refreshes;
    const limit = Math.min(MAX_PAGE_SIZE, Math.max(PAGE_SIZE, this.threads.length));
    try {
      const page = await listThreads({ status: this.status, limit });
      if (refresh !== this.#refreshes) return;
      // Rows beyond the longest page stay, unless they have moved up.
      const fresh = new Set(page.threads.map((thread) => thread.id));
      const beyond = this.threads.length > limit ? this.threads.slice(limit).filter((thread) => !fresh.has(thread.id)) : [];
      this.threads = [...page.threads, ...beyond];
      if (!beyond.length) this.#cursor = page.next_cursor;
      this.#render();
    } catch (error) {
      if (refresh === this.#refreshes && !this.threads.length) this.#showError(error.problem);
    }
  }

  /** Mark the thread that is open. */
  setCurrent(id) {
    this.current = id;
    for (const [rowId, row] of this.#rows) row.link.setAttribute("aria-current", rowId === id ? "page" : "false");
  }

  find(id) {
    return this.threads.find((thread) => thread.id === id) ?? null;
  }

  /** Put a thread on top, without waiting for the next refresh. */
  add(thread) {
    if (this.status !== "active" || this.find(thread.id)) return;
    this.threads.unshift(thread);
    this.#render();
  }

  /** Let the user change a title at `element`, which shows it. */
  async rename(thread, element) {
    this.#renaming = true;
    const title = await editInPlace(element, threadTitle(thread));
    this.#renaming = false;
    if (title) await this.#update(thread, { title });
    this.#render();
  }

  async setStatus(thread, status) {
    this.#drop(thread.id);
    const changed = await this.#update(thread, { status });
    if (!changed) return;
    const undo = () => this.#update(thread, { status: status === "archived" ? "active" : "archived" });
    showToast(status === "archived" ? "Conversation archived" : "Conversation restored", { action: { label: "Undo", run: undo } });
  }

  /** Delete a thread, after a while in which it can be undone. */
  delete(thread) {
    const wasOpen = this.current === thread.id;
    const deletion = { now: (options) => this.#delete(thread, options) };
    this.#deletions.set(thread.id, deletion);
    this.#drop(thread.id);
    const run = () => {
      this.#deletions.delete(thread.id);
      if (wasOpen) location.hash = thread.id;
      this.refresh();
    };
    const onExpire = () => deletion.now();
    showToast("Conversation deleted", { action: { label: "Undo", run }, seconds: UNDO_SECONDS, onExpire });
  }

  /** Open the menu of what can be done to a thread; a new title is entered at `element`. */
  openMenu(button, thread, element) {
    const archived = thread.status === "archived";
    const menu = toggleMenu(button, [
      { label: "Rename", icon: "pencil", run: () => this.rename(thread, element) },
      { label: archived ? "Restore" : "Archive", icon: "archive", run: () => this.setStatus(thread, archived ? "active" : "archived") },
      { label: "Delete", icon: "trash", danger: true, run: () => this.delete(thread) },
    ]);
    if (menu) this.#offerToAsk(menu, thread);
  }

  /** Offer to let tools ask again that were allowed for the whole conversation, if there are any. */
  async #offerToAsk(menu, thread) {
    const [{ approvals }] = await Promise.all([listApprovals(thread.id).catch(() => ({ approvals: [] })), loadTools()]);
    if (!approvals.length) return;
    const names = approvals.map(({ tool }) => inLanguage(toolView(tool)?.title) || tool).join(", ");
    menu.add({ label: `Ask again before: ${names}`, icon: "question", run: () => this.#askAgain(thread, names) });
  }

  async #askAgain(thread, names) {
    try {
      await removeApprovals(thread.id);
      showToast(`You will be asked again before: ${names}`);
    } catch (error) {
      showToast(`That did not work. ${problemText(error.problem)}`);
    }
  }

  async #delete(thread, options) {
    if (!this.#deletions.has(thread.id)) return;
    try {
      await deleteThread(thread.id, options);
    } catch (error) {
      if (error.problem?.type !== "thread_not_found") showToast(`It could not be deleted. ${problemText(error.problem)}`);
    }
    this.#deletions.delete(thread.id);
    broadcast(thread.id);
    await this.refresh();
  }

  async #update(thread, change) {
    try {
      Object.assign(thread, await updateThread(thread.id, change));
      broadcast(thread.id);
      return true;
    } catch (error) {
      showToast(`That did not work. ${problemText(error.problem)}`);
      return false;
    } finally {
      await this.refresh();
      this.dispatchEvent(new Event("change"));
    }
  }

  #drop(id) {
    const row = this.#rows.get(id);
    const next = row && (row.element.nextElementSibling ?? row.element.previousElementSibling);
    this.threads = this.threads.filter((thread) => thread.id !== id);
    this.#render();
    const target = next?.isConnected ? next.querySelector("a") : document.getElementById("new-chat");
    target?.focus({ preventScroll: true });
    this.dispatchEvent(new CustomEvent("left", { detail: id }));
  }

  async #more(button) {
    button.disabled = true;
    try {
      const page = await listThreads({ status: this.status, limit: PAGE_SIZE, cursor: this.#cursor });
      const known = new Set(this.threads.map((thread) => thread.id));
      const fresh = page.threads.filter((thread) => !known.has(thread.id));
      this.threads.push(...fresh);
      this.#cursor = page.next_cursor;
      this.#render();
      this.#rows.get(fresh[0]?.id)?.link.focus();
    } catch (error) {
      button.disabled = false;
      showToast(problemText(error.problem));
    }
  }

  #render() {
    if (this.#renaming) return;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    const shown = this.threads.filter((thread) => !this.#deletions.has(thread.id));
    const groups = [];
    for (const thread of shown) {
      const name = dayGroup(thread.updated_at);
      if (groups.at(-1)?.name !== name) groups.push({ name, rows: [] });
      groups.at(-1).rows.push(this.#row(thread).element);
    }
    const ids = new Set(shown.map((thread) => thread.id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    const parts = groups.flatMap(({ name, rows }) => [h("h2", {}, name), h("ul", {}, ...rows)]);
    if (!shown.length) parts.push(h("p", { class: "hint" }, this.status === "active" ? "Your conversations appear here." : "Nothing is archived."));
    if (this.#cursor) parts.push(h("button", { type: "button", class: "more", onclick: (event) => this.#more(event.target) }, "Load more"));
    this.element.replaceChildren(...parts);
    this.element.setAttribute("aria-busy", "false");
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    this.setCurrent(this.current);
    this.dispatchEvent(new Event("change"));
  }

  #row(thread) {
    const row = this.#rows.get(thread.id) ?? this.#makeRow(thread.id);
    const title = threadTitle(thread);
    row.thread = thread;
    row.link.textContent = title;
    row.link.title = title;
    row.link.classList.toggle("waits", Boolean(thread.open_turn_id));
    if (thread.open_turn_id) row.link.append(h("span", { class: "visually-hidden" }, ", waits for you"));
    row.button.setAttribute("aria-label", `More about: ${title}`);
    return row;
  }

  #makeRow(id) {
    const link = h("a", { href: `#${id}` });
    const button = iconButton("more", "More", () => this.openMenu(button, row.thread, link), { "aria-haspopup": "menu", "aria-expanded": "false" });
    const row = { link, button, element: h("li", {}, link, button) };
    this.#rows.set(id, row);
    return row;
  }

  #showSkeleton() {
    this.element.setAttribute("aria-busy", "true");
    this.element.replaceChildren(...["", "medium", "", "short"].map((width) => h("span", { class: `line ${width}`.trim() })));
  }

  #showError(problem) {
    this.element.setAttribute("aria-busy", "false");
    const again = h("button", { type: "button", class: "pill", onclick: () => this.refresh() }, icon("retry"), "Retry");
    this.element.replaceChildren(h("div", { class: "hint", role: "alert" }, h("p", {}, problemText(problem)), again));
  }
}
