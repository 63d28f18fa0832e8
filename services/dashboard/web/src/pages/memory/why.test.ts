import assert from "node:assert/strict";
import test from "node:test";
import { percent, short, standing, vigour, why } from "./why.ts";

test("what counted most is said first, with its share and its word", () => {
  const chips = why([
    { arm: "lexical", score: 0.2, detail: "" },
    { arm: "entity", score: 0.731, detail: "Anna" },
  ]);
  assert.deepEqual(
    chips.map((chip) => chip.label),
    ["found by a name 73 %: Anna", "found by its words 20 %"],
  );
});

test("an arm that this page does not know yet is shown by its own name", () => {
  assert.equal(why([{ arm: "smell", score: 1, detail: "" }])[0]?.label, "smell 100 %");
});

test("a share never leaves 0 to 100", () => {
  assert.deepEqual([percent(-0.2), percent(0.005), percent(3)], ["0 %", "1 %", "100 %"]);
});

test("strength falls from vivid to faint", () => {
  assert.deepEqual([8, 1, 0.3, 0.01].map(vigour), ["vivid", "strong", "fading", "faint"]);
});

test("a button is named by the first words on one line", () => {
  assert.equal(short("one\n two"), "one two");
  assert.equal(short("x".repeat(80), 10), `${"x".repeat(10)}…`);
});

test("a superseded memory is said to be so, once, whatever else ended", () => {
  const now = new Date("2026-06-01T00:00:00Z");
  const words = (memory: Parameters<typeof standing>[0]) => standing(memory, now).map((entry) => entry.word);
  assert.deepEqual(words({}), []);
  assert.deepEqual(words({ superseded_by: "a", valid_to: "2026-05-01T00:00:00Z" }), ["superseded"]);
  assert.deepEqual(words({ valid_to: "2026-05-01T00:00:00Z" }), ["no longer true"]);
  assert.deepEqual(words({ valid_to: "2026-07-01T00:00:00Z", archived_at: "2026-01-01T00:00:00Z" }), ["archived"]);
});
