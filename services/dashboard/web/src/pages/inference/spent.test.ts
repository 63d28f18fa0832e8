import assert from "node:assert/strict";
import test from "node:test";
import { callerName, daysAgo, money, short } from "./spent.ts";

test("a caller is named as a person reads it", () => {
  assert.equal(callerName("person:0b9f-1234", "0b9f-1234"), "you");
  assert.equal(callerName("person:0b9f-1234", "else"), "person …1234");
  assert.equal(callerName("service:memory-worker", null), "memory-worker");
  assert.equal(callerName("unknown", null), "unknown");
});

test("large counts are short and small sums of money are still seen", () => {
  assert.deepEqual([short(999), short(1234), short(2_500_000)], ["999", "1.2 k", "2.5 M"]);
  assert.deepEqual([money(0, "EUR"), money(0.0031, "EUR"), money(1.5, "EUR")], ["–", "0.003 EUR", "1.50 EUR"]);
});

test("days are counted as the accounts count them", () => {
  assert.equal(daysAgo(6, new Date("2026-03-02T23:30:00Z")), "2026-02-24");
});
