import assert from "node:assert/strict";
import test from "node:test";
import { joined, moveWords, tally } from "./moves.ts";

const move = (id: number, kind: "promoted" | "archived" = "promoted") => ({
  id,
  at: "2026-11-20T09:00:00Z",
  memory_id: "m",
  tier: "convenience" as const,
  move: kind,
  from_level: "session" as const,
  to_level: "working" as const,
  score: 0.5,
  why: "used twice",
  into: null,
});

test("a move says from where to where, and one that stays says where", () => {
  assert.equal(moveWords(move(1)), "promoted from Session to Working");
  assert.equal(moveWords({ move: "archived", from_level: "episodic", to_level: "episodic" }), "archived, in Episodic");
  assert.equal(moveWords(move(1), true), "to be promoted from Session to Working");
});

test("a plan is summed up by what happens, most first", () => {
  assert.equal(tally([move(1), move(2, "archived"), move(3)]), "2 promoted, 1 archived");
  assert.equal(tally([]), "");
});

test("newer entries come before the shown ones, each once", () => {
  assert.deepEqual(
    joined([move(3), move(2)], [move(2), move(1)]).map((entry) => entry.id),
    [3, 2, 1],
  );
});
