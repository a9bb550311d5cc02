/** Small helpers to make elements. Text only ever becomes text: none of them parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `class`, `dataset`, `on…` listeners, `aria-…` and other attributes; `false` and
 *   `null` leave one out
 * @param {...(Node | string | null | false)} children strings become text
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

/** Return an icon of the page's sprite, which says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Make a button that shows only an icon, and says `label`. */
export function iconButton(name, label, onclick, properties = {}) {
  const classes = `icon-button ${properties.class ?? ""}`.trim();
  return h("button", { type: "button", "aria-label": label, title: label, onclick, ...properties, class: classes }, icon(name));
}

/** Let the screen reader say something, once the user pauses. */
export function announce(text) {
  const region = document.getElementById("announcer");
  // The same words twice in a row are only said again if the region was empty in between.
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}

/** Copy text, and show on the button that it worked. */
export async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  const label = button.getAttribute("aria-label");
  button.classList.add("done");
  button.querySelector("use")?.setAttribute("href", "#icon-check");
  announce("Copied");
  setTimeout(() => {
    button.classList.remove("done");
    button.querySelector("use")?.setAttribute("href", "#icon-copy");
    if (label) button.setAttribute("aria-label", label);
  }, 1500);
}

/** Make a button that copies what `text` returns. */
export function copyButton(label, text) {
  const button = iconButton("copy", label, () => copy(text(), button).catch(() => announce("Copying did not work")));
  return button;
}
