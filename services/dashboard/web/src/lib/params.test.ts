import assert from "node:assert/strict";
import test from "node:test";
import { withParam } from "./params.ts";

test("a parameter comes, changes and goes, and the others stay", () => {
  assert.equal(withParam("/memory", "", "m", "1"), "/memory?m=1");
  assert.equal(withParam("/memory", "?q=a+key&m=1", "m", "2"), "/memory?q=a+key&m=2");
  assert.equal(withParam("/memory", "?q=a&m=1", "m", null), "/memory?q=a");
  assert.equal(withParam("/memory", "?m=1", "m", ""), "/memory");
});
