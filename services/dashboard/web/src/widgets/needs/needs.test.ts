import assert from "node:assert/strict";
import test from "node:test";
import { merged } from "./needs.ts";

const broken = { kind: "container", title: "memory is restarting", detail: "", href: "/system" } as const;

test("what the house says comes before advice", () => {
  const needs = merged({ needs: [broken], unknown: [] }, { second_factor: false });
  assert.deepEqual(
    needs.map((need) => need.href),
    ["/system", "/security"],
  );
});

test("what is wrong with the cards leads to their page, after what waits for a decision", () => {
  const decision = { kind: "confirmation", title: "A decision waits for you", detail: "", href: "/?c=1" } as const;
  const cards = { kind: "cards", title: "forge cannot be reached", detail: "It is silent.", href: "/inference" } as const;
  const needs = merged({ needs: [decision, cards], unknown: [] }, { second_factor: true });
  assert.deepEqual(
    needs.map((need) => [need.kind, need.href]),
    [
      ["confirmation", "/?c=1"],
      ["cards", "/inference"],
    ],
  );
});

test("a person with a second factor gets no advice, and nothing known is nothing said", () => {
  assert.deepEqual(merged(null, { second_factor: true }), []);
});
