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

test("a person with a second factor gets no advice, and nothing known is nothing said", () => {
  assert.deepEqual(merged(null, { second_factor: true }), []);
});
