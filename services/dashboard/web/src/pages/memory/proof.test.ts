import assert from "node:assert/strict";
import test from "node:test";
import { proven } from "./proof.ts";

test("a proof shows also the stores that held nothing, after those that did", () => {
  const { erased } = proven({ erased: { rows: 1, cached_answers: 0, embeddings: 1 } });
  assert.deepEqual(erased, [["embeddings", 1], ["rows", 1], ["cached answers", 0]]);
});

test("only what was really found again is an alarm", () => {
  assert.deepEqual(proven({ erased: {}, found: { rows: 0, postings: 2 } }).found, [["postings", 2]]);
});

test("the copy that lasts longest comes first, and one without a date before all", () => {
  const copies = [
    { store: "write_ahead_log", until: "2026-11-21T00:00:00Z", note: "" },
    { store: "backups", until: "2026-12-20T00:00:00Z", note: "" },
    { store: "dead_rows", until: null, note: "" },
  ];
  const names = proven({ erased: {}, remaining: copies }).remaining.map((copy) => copy.name);
  assert.deepEqual(names, ["Erased rows on disk", "Backups", "The database's log"]);
});
