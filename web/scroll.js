/** Keeps the latest text in view, until the user scrolls up. */

const NEAR = 40;

export class AutoScroll {
  #following = true;
  #lastTop = 0;

  /** `jump` is the button back to the latest text. */
  constructor(scroller, content, jump) {
    this.scroller = scroller;
    this.jump = jump;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toEnd(true));
    // Who opens a tool call wants to read it, not to be taken away from it.
    content.addEventListener("click", (event) => {
      if (event.target.closest("summary")) this.#following = false;
    });
    const observer = new ResizeObserver(() => (this.#following ? this.#stick() : this.#show()));
    observer.observe(content);
    observer.observe(scroller);
  }

  /** Go to the end and stay there. */
  toEnd(smooth = false) {
    this.#following = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth && !calm ? "smooth" : "instant" });
    this.#show();
  }

  /** Change what is above without moving what the user looks at. */
  keepPosition(change) {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    change();
    this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
  }

  get #distance() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  #stick() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#show();
  }

  #scrolled() {
    const top = this.scroller.scrollTop;
    // Only the user scrolls up; text that grows leaves the position as it is.
    if (this.#distance < NEAR) this.#following = true;
    else if (top < this.#lastTop - 1) this.#following = false;
    this.#lastTop = top;
    this.#show();
  }

  #show() {
    this.jump.hidden = this.#following || this.#distance < NEAR;
  }
}
