import assert from "node:assert/strict";
import test from "node:test";
import { apply, asked, ended, isUnderWay, kept, type TurnView } from "./turn.ts";

function played(...events: [string, unknown][]): TurnView {
  const turn = asked("What is my dog called?", new Date(0));
  for (const [event, data] of events) apply(turn, event, JSON.stringify(data));
  return turn;
}

const accepted: [string, unknown] = ["turn.accepted", { turn_id: "t", conversation_id: "c", correlation_id: "x1" }];

test("an answer grows word by word until it is finished", () => {
  const turn = played(
    accepted,
    ["stage", { name: "plan", detail: "answer" }],
    ["sources", [{ memory_id: "m", text: "Rex", tier: "convenience", score: 0.8, reasons: ["vector"] }]],
    ["delta", { text: "Your dog" }],
    ["delta", { text: " is Rex." }],
  );
  assert.equal(turn.answer, "Your dog is Rex.");
  assert.equal(isUnderWay(turn), true);
  apply(turn, "turn.finished", JSON.stringify({ turn_id: "t", status: "done", duration_ms: 5 }));
  assert.equal(turn.status, "done");
  assert.equal(isUnderWay(turn), false);
  assert.equal(turn.sources[0]?.text, "Rex");
});

test("an error inside the stream fails the turn and keeps what was said", () => {
  const turn = played(accepted, ["delta", { text: "Your" }], [
    "error",
    { code: "inference.unavailable", reason: "r", fix: "f", correlation_id: "x1" },
  ]);
  assert.equal(turn.status, "failed");
  assert.equal(turn.answer, "Your");
  assert.equal(turn.error?.code, "inference.unavailable");
});

test("a stream that breaks off is a failure, one that finished is not", () => {
  const broken = played(accepted);
  ended(broken);
  assert.equal(broken.error?.code, "browser.answer_lost");
  assert.equal(broken.error?.correlationId, "x1");
  const stopped = played(accepted, ["turn.finished", { turn_id: "t", status: "stopped", duration_ms: 1 }]);
  ended(stopped);
  assert.equal(stopped.status, "stopped");
  assert.equal(stopped.error, null);
});

test("an event of a newer house is passed over", () => {
  assert.equal(played(accepted, ["sparkles", {}]).status, "running");
});

test("a kept turn shows its waiting decision", () => {
  const turn = kept({
    id: "t",
    text: "forget Rex",
    answer: "",
    status: "waiting",
    sources: [],
    error: null,
    confirmation: {
      confirmation_id: "k",
      action: "memory.forget",
      description: "Forget 1 memory",
      reversible: false,
      expires_at: "2026-01-01T00:00:00Z",
    },
    correlation_id: "x",
    created_at: "2026-01-01T00:00:00Z",
    finished_at: null,
  });
  assert.equal(turn.confirmation?.reversible, false);
  assert.equal(isUnderWay(turn), false);
});
