import assert from "node:assert/strict";
import test from "node:test";
import type { Minute, Model, Part } from "../../api/inference.ts";
import { columns, did, memory, mood, offers, slices } from "./cards.ts";

const part = (what: Part["what"], mib: number, model: string | null = null): Part => ({ what, mib, model });

test("a model's parts stand together, then leases, strangers and what is free", () => {
  const parts = [part("free", 10), part("cache", 5, "b"), part("foreign", 3), part("weights", 20, "b"), part("weights", 7, "a"), part("lease", 1)];
  assert.deepEqual(
    slices(parts, 46).map((slice) => [slice.kind, slice.model]),
    [
      ["weights", "a"],
      ["weights", "b"],
      ["cache", "b"],
      ["lease", null],
      ["foreign", null],
      ["free", null],
    ],
  );
});

test("shares never make more than the whole, also when a reading and the books disagree", () => {
  const shares = slices([part("weights", 30, "a"), part("foreign", 30)], 40).map((slice) => slice.share);
  assert.equal(
    shares.reduce((all, share) => all + share, 0),
    1,
  );
  assert.deepEqual(slices([], 0), []);
});

test("a column shows its fullest minute, and one of which nothing is known shows nothing", () => {
  const minute = (at: string, used_mib: number): Minute => ({
    card: "gpu-0",
    node: "forge",
    at,
    total_mib: 100,
    used_mib,
    booked_mib: used_mib,
    parts: [part("weights", used_mib, "a")],
    utilisation_percent: null,
    watts: null,
  });
  const minutes = [minute("2026-05-01T10:01:00Z", 20), minute("2026-05-01T10:04:00Z", 60), minute("2026-05-01T10:11:00Z", 10)];
  const found = columns(minutes, new Date("2026-05-01T10:00:00Z"), new Date("2026-05-01T10:15:00Z"), 3);
  assert.deepEqual(
    found.map((column) => column?.used ?? null),
    [60, null, 10],
  );
});

const model = (phase: string, more: Partial<Model> = {}): Model => ({
  model: "qwen",
  node: "forge",
  kind: "chat",
  phase,
  predicted_mib: 1,
  peak_mib: null,
  charge_mib: 1,
  slots: 1,
  pinned: false,
  banned: false,
  can_sleep: true,
  queued: 0,
  running: 0,
  note: "",
  ...more,
});

test("only what can be done with a model is offered", () => {
  const verbs = (given: Model): string[] => offers(given).map((offer) => offer.verb);
  assert.deepEqual(verbs(model("stopped")), ["load", "pin", "ban"]);
  assert.deepEqual(verbs(model("ready")), ["sleep", "evict", "pin", "ban"]);
  assert.deepEqual(verbs(model("ready", { can_sleep: false })), ["evict", "pin", "ban"]);
  assert.deepEqual(verbs(model("ready", { pinned: true })), ["unpin", "ban"]);
  assert.deepEqual(verbs(model("asleep")), ["load", "evict", "pin", "ban"]);
  assert.deepEqual(verbs(model("stopped", { banned: true })), ["allow"]);
});

test("a decision is told in words, and one of a newer house as it came", () => {
  assert.deepEqual([did("wake_node"), did("stop"), did("levitate")], ["Node woken", "Ended", "levitate"]);
});

test("minutes that are as far apart as columns are long fill every column", () => {
  const since = Date.parse("2026-05-01T10:00:00Z");
  const minutes = Array.from({ length: 60 }, (_, index) => ({
    card: "gpu-0",
    node: "forge",
    at: new Date(since + index * 60_000).toISOString(),
    total_mib: 100,
    used_mib: 1,
    booked_mib: 1,
    parts: [],
    utilisation_percent: null,
    watts: null,
  }));
  assert.ok(columns(minutes, new Date(since), new Date(since + 3_600_000), 60).every((column) => column !== null));
});

test("memory is told as cards are sold", () => {
  assert.equal(memory(24_576), "24.0 GiB");
  assert.equal(memory(512), "512 MiB");
});

test("what failed looks bad and what sleeps looks calm", () => {
  assert.deepEqual([mood("failed"), mood("asleep"), mood("draining"), mood("stopped")], ["bad", "calm", "warn", "plain"]);
});
