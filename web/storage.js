/** What the browser keeps for this page. One that keeps nothing, as some are set up to, is no reason to fail. */

/** Return what is kept under a name, or `null`. */
export function load(name, area = "localStorage") {
  try {
    return globalThis[area].getItem(name);
  } catch {
    return null;
  }
}

/** Keep a text under a name; `null` and the empty text remove it. */
export function save(name, value, area = "localStorage") {
  try {
    if (value) globalThis[area].setItem(name, value);
    else globalThis[area].removeItem(name);
  } catch {
    // It lasts as long as the page does.
  }
}
