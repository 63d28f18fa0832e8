import assert from "node:assert/strict";
import test from "node:test";
import { lasting } from "./lasting.ts";

test("a length of time is said in its largest whole unit", () => {
  assert.equal(lasting(1800), "30 minutes");
  assert.equal(lasting(3600), "1 hour");
  assert.equal(lasting(604_800), "7 days");
  assert.equal(lasting(1_209_600), "2 weeks");
  assert.equal(lasting(5400), "90 minutes");
  assert.equal(lasting(61), "61 seconds");
});
