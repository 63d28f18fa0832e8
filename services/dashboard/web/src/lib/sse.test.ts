import assert from "node:assert/strict";
import test from "node:test";
import { EVENT_CHARS_MAX, EventParser, EventTooLarge, readEvents } from "./sse.ts";

test("an event split at every possible place is still one event", () => {
  const text = 'event: delta\r\ndata: {"text":"hé"}\r\n\r\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const parser = new EventParser();
    const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
    assert.deepEqual(events, [{ event: "delta", data: '{"text":"hé"}', id: "" }], `cut at ${cut}`);
  }
});

test("several data lines are joined by line feeds and comments are ignored", () => {
  const events = new EventParser().push(": keep-alive\ndata: one\ndata: two\nid: 7\n\n");
  assert.deepEqual(events, [{ event: "message", data: "one\ntwo", id: "7" }]);
});

test("an event without data is not delivered and does not name the next one", () => {
  const events = new EventParser().push("event: stage\n\ndata: x\n\n");
  assert.deepEqual(events, [{ event: "message", data: "x", id: "" }]);
});

test("a line that never ends is refused instead of filling memory", () => {
  const parser = new EventParser();
  assert.throws(() => parser.push("data: " + "x".repeat(EVENT_CHARS_MAX + 1)), EventTooLarge);
});

test("characters split across chunks survive", async () => {
  const bytes = new TextEncoder().encode("data: grüß\n\n");
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  const seen: string[] = [];
  for await (const event of readEvents(stream)) seen.push(event.data);
  assert.deepEqual(seen, ["grüß"]);
});

test("leaving the loop early cancels the request", async () => {
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode("data: x\n\n"));
    },
    cancel() {
      cancelled = true;
    },
  });
  for await (const _event of readEvents(stream)) break;
  assert.equal(cancelled, true);
});
