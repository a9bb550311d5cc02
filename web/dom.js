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

/** Make a link to another site, in a tab of its own; only its label if the address is not one of the web. */
export function link(address, label) {
  if (!/^https?:\/\//i.test(address)) return h("span", {}, label);
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label);
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

/** Copy text, and show on the button whether it worked. */
async function copy(text, button) {
  const worked = await navigator.clipboard.writeText(text).then(() => true, () => false);
  const use = button.querySelector("use");
  use.setAttribute("href", worked ? "#icon-check" : "#icon-alert");
  button.classList.add("done");
  announce(worked ? "Copied" : "Copying did not work");
  setTimeout(() => {
    use.setAttribute("href", "#icon-copy");
    button.classList.remove("done");
  }, 1500);
}

/** Make a button that copies what `text` returns. */
export function copyButton(label, text) {
  return iconButton("copy", label, (event) => copy(text(), event.currentTarget));
}
