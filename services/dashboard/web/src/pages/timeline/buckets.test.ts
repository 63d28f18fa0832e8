import assert from "node:assert/strict";
import test from "node:test";
import { filled, monthEnd, moved, paged, parts, startOf, windowAt, type Size } from "./buckets.ts";

const day = (date: Date) => date.toISOString().slice(0, 10);

test("a week begins on Monday, also across a year's end", () => {
  assert.equal(day(startOf("week", new Date("2026-01-04T23:59:59Z"))), "2025-12-29");
  assert.equal(day(startOf("week", new Date("2026-01-05T00:00:00Z"))), "2026-01-05");
});

test("a window ends with the bucket asked for and holds it", () => {
  const window = windowAt("month", new Date("2026-11-20T09:00:00Z"));
  assert.deepEqual([day(window.since), day(window.until)], ["2024-12-01", "2026-12-01"]);
});

test("windows that are paged through leave no gap and no overlap", () => {
  for (const size of ["day", "week", "month"] as Size[]) {
    const at = new Date("2026-03-31T12:00:00Z");
    const older = windowAt(size, paged(size, at, -1));
    assert.equal(day(older.until), day(windowAt(size, at).since));
    assert.equal(day(windowAt(size, paged(size, paged(size, at, -1), 1)).until), day(windowAt(size, at).until));
  }
});

test("empty buckets are shown, newest first, and counts land in their own", () => {
  const window = { since: new Date("2026-05-01T00:00:00Z"), until: new Date("2026-05-04T00:00:00Z") };
  const bars = filled("day", window, [{ start: "2026-05-02T00:00:00+00:00", count: 7, by_level: { knowledge: 7 } }]);
  assert.deepEqual(
    bars.map((bar) => [bar.start.slice(8, 10), bar.count]),
    [["03", 0], ["02", 7], ["01", 0]],
  );
});

test("a picked month becomes its last instant, and nonsense nothing", () => {
  assert.equal(monthEnd("2026-02")?.toISOString(), "2026-02-28T23:59:59.999Z");
  assert.equal(monthEnd("2026-13"), null);
  assert.equal(monthEnd("May"), null);
});

test("the parts of a bar add up to it, largest first", () => {
  const found = parts({ start: "", count: 6, by_level: { session: 0, episodic: 2, knowledge: 4 } }, 8);
  assert.deepEqual(found, [
    { level: "knowledge", count: 4, share: 0.5 },
    { level: "episodic", count: 2, share: 0.25 },
  ]);
});

test("months are moved by the calendar", () => {
  assert.equal(day(moved("month", new Date("2026-01-01T00:00:00Z"), -1)), "2025-12-01");
});
