import assert from "node:assert/strict";
import test from "node:test";
import { age, device, mebibytes, plural, span } from "./format.ts";

const now = new Date("2026-03-01T12:00:00Z");
const ago = (seconds: number) => age(new Date(now.getTime() - seconds * 1000), now);

test("an age is told in the largest fitting unit", () => {
  assert.deepEqual(
    [0, 12, 75, 3700, 90_000, 3 * 86_400].map(ago),
    ["just now", "12 s ago", "1 min ago", "1 h ago", "yesterday", "3 days ago"],
  );
});

test("a clock that runs ahead never shows a negative age", () => {
  assert.equal(ago(-30), "just now");
});

test("spans and sizes keep their unit visible", () => {
  assert.equal(span(59), "59 s");
  assert.equal(span(7 * 3600 + 120), "7 h 2 min");
  assert.equal(span(80 * 3600), "3 d 8 h");
  assert.equal(mebibytes(4_500_000), "4.3 MiB");
  assert.equal(mebibytes(45 * 1_048_576), "45 MiB");
  assert.equal(plural(1, "session"), "1 session");
  assert.equal(plural(0, "memory", "memories"), "0 memories");
});

test("a device is named by browser and system", () => {
  const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
  assert.equal(device(agent), "Chrome on Linux");
  assert.equal(device("curl/8"), "A client");
});
