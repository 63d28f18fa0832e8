import assert from "node:assert/strict";
import test from "node:test";
import { backoffMs } from "./backoff.ts";

test("waiting doubles, never exceeds half a minute and is spread", () => {
  assert.deepEqual([0, 1, 2, 3].map((n) => backoffMs(n, () => 1)), [1000, 2000, 4000, 8000]);
  assert.equal(backoffMs(1000, () => 1), 30_000);
  assert.equal(backoffMs(0, () => 0), 500);
});
