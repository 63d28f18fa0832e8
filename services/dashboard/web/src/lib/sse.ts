/** One server-sent event, as a stream read with fetch delivers it. */
export type ServerEvent = { event: string; data: string; id: string };

/** A single event may not grow beyond this: a broken server must not fill the tab's memory. */
export const EVENT_CHARS_MAX = 1_000_000;

export class EventTooLarge extends Error {}

/**
 * Turns arbitrary chunks of text into whole events.
 *
 * Line ends may be split across chunks ("\r" then "\n"), so a trailing "\r" waits for the next one.
 */
export class EventParser {
  private rest = "";
  private event = "";
  private id = "";
  private data: string[] = [];
  private size = 0;

  push(chunk: string): ServerEvent[] {
    let text = this.rest + chunk;
    let held = "";
    if (text.endsWith("\r")) {
      held = "\r";
      text = text.slice(0, -1);
    }
    const lines = text.split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + held;
    if (this.rest.length > EVENT_CHARS_MAX) throw new EventTooLarge();
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = this.line(line);
      if (event) events.push(event);
    }
    return events;
  }

  private line(line: string): ServerEvent | null {
    if (line === "") return this.flush();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.event = value;
    else if (field === "id") this.id = value;
    else if (field === "data") {
      this.size += value.length;
      if (this.size > EVENT_CHARS_MAX) throw new EventTooLarge();
      this.data.push(value);
    }
    return null;
  }

  private flush(): ServerEvent | null {
    const { event, data, id } = this;
    this.event = "";
    this.data = [];
    this.size = 0;
    if (data.length === 0) return null;
    return { event: event || "message", data: data.join("\n"), id };
  }
}

/** Yields the events of a response's body until it ends; stops reading when the caller stops. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
