import assert from "node:assert/strict";
import test from "node:test";
import type { ImportReport } from "../../api/memory.ts";
import { BYTES_MAX, changes, objection, outcome, typeOf } from "./files.ts";

test("a file is known by its ending, whatever its case", () => {
  assert.equal(typeOf("Memory.2026-11-20.ZIP"), "application/zip");
  assert.equal(typeOf("a.jsonl"), "application/x-ndjson");
  assert.equal(typeOf("memory.exe"), null);
  assert.equal(typeOf("noending"), null);
});

test("what cannot be taken is said before it is sent", () => {
  assert.equal(objection({ name: "a.zip", size: 10 }), "");
  assert.match(objection({ name: "a.pdf", size: 10 }), /Only/);
  assert.match(objection({ name: "a.zip", size: 0 }), /empty/);
  assert.match(objection({ name: "a.zip", size: BYTES_MAX + 1 }), /64 MiB/);
});

const report: ImportReport = {
  dry_run: true,
  format: "jsonl",
  files: 1,
  rows: 6,
  inserted: 2,
  edited: 1,
  unchanged: 3,
  duplicate: 0,
  quarantined: 0,
  reasons: {},
  problems: [],
  problems_left_out: 0,
  missing: 4,
  forgotten: 0,
  notes: 0,
  entities: 0,
  namespaces_added: [],
};

test("a report shows what is there and nothing else", () => {
  assert.deepEqual(
    outcome(report).map((line) => `${line.count} ${line.label}`),
    ["2 new", "1 edited", "3 unchanged", "4 missing in the file"],
  );
});

test("rows that are missing in the file are a change only if they are to be forgotten", () => {
  assert.equal(changes(report, false), 3);
  assert.equal(changes(report, true), 7);
});
