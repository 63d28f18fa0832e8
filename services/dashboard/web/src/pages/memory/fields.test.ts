import assert from "node:assert/strict";
import test from "node:test";
import { asBefore, differing } from "./fields.ts";

const before = {
  text: "The key hangs behind the barometer.",
  tier: "convenience",
  namespace: "home",
  level: "knowledge",
  occurred_at: "2026-05-01T10:00:31+00:00",
  valid_from: null,
  valid_to: null,
};

test("what was not touched is not sent", () => {
  assert.deepEqual(differing(before, { ...before }), {});
  assert.deepEqual(differing(before, { ...before, tier: "sensitive" }), { tier: "sensitive" });
});

test("the same minute in another spelling is no change", () => {
  assert.deepEqual(differing(before, { occurred_at: "2026-05-01T10:00:00.000Z" }), {});
  assert.deepEqual(differing(before, { occurred_at: "2026-05-01T10:01:00.000Z" }), { occurred_at: "2026-05-01T10:01:00.000Z" });
});

test("a time that was emptied is cleared, and comes back when that is taken back", () => {
  const change = differing<typeof before | (Omit<typeof before, "occurred_at"> & { occurred_at: null })>(before, { occurred_at: null });
  assert.deepEqual(change, { occurred_at: null });
  assert.deepEqual(asBefore(before, { occurred_at: undefined }), { occurred_at: before.occurred_at });
});

test("a text that looks like nothing else is compared as it is", () => {
  assert.deepEqual(differing(before, { text: before.text + " " }), { text: before.text + " " });
});
