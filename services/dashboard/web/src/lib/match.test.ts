import assert from "node:assert/strict";
import test from "node:test";
import { best } from "./match.ts";

const items = ["Go to Memory", "Go to System", "New conversation", "Use the dark theme", "Sign out"];
const find = (query: string) => best(query, items, (item) => item);

test("an empty query offers everything in its order", () => {
  assert.deepEqual(find(""), items);
});

test("the start of a word beats its middle and scattered letters", () => {
  assert.equal(find("mem")[0], "Go to Memory");
  assert.equal(find("s out")[0], "Sign out");
  assert.deepEqual(find("drk"), ["Use the dark theme"]);
});

test("what does not answer is left out", () => {
  assert.deepEqual(find("zebra"), []);
});
