/**
 * Server-sent events from a fetch response, as the standard parses them
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream). EventSource itself cannot POST.
 */

/**
 * Yield the events of a stream; an event that the stream's end cuts off is dropped.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @param {() => void} [onBytes] called whenever anything arrives, heartbeats included
 * @returns {AsyncGenerator<{id: string, event: string, data: string}>}
 */
export async function* readEvents(stream, onBytes = () => {}) {
  const parser = new EventParser();
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Cuts text, which comes in pieces of any size, into events. */
export class EventParser {
  #rest = "";
  #afterCr = false;
  #started = false;
  #fields = { id: "", event: "", data: [] };

  /** Take the next piece and yield the events that it completes. */
  *push(text) {
    if (!text) return;
    // A line feed right after a carriage return belongs to it, also when a piece ends between them.
    if (this.#afterCr && text[0] === "\n") text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    if (!this.#started && text) {
      this.#started = true;
      text = text.replace(/^\uFEFF/, "");
    }
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    for (const line of lines) {
      const event = this.#line(line);
      if (event) yield event;
    }
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#fields.data.push(value);
    else if (name === "event") this.#fields.event = value;
    else if (name === "id" && !value.includes("\0")) this.#fields.id = value;
    return null;
  }

  #dispatch() {
    const { id, event, data } = this.#fields;
    this.#fields = { id, event: "", data: [] };
    return data.length ? { id, event: event || "message", data: data.join("\n") } : null;
  }
}
