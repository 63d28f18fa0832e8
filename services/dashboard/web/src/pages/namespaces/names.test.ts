import assert from "node:assert/strict";
import test from "node:test";
import { choices, sharedWith, wrong } from "./names.ts";

const tokens = [
  { id: "1", name: "laptop", state: "active" },
  { id: "2", name: "old phone", state: "revoked" },
];

test("a name is judged before it is sent", () => {
  assert.equal(wrong("work-2026", []), "");
  assert.equal(wrong("", []), "");
  for (const bad of ["Work", "1st", "a b", "x".repeat(41)]) assert.match(wrong(bad, []), /Small letters/);
  assert.match(wrong("work", ["home", "work"]), /one of that name/);
});

test("only tokens that work can be chosen anew, and those that share it already are not hidden", () => {
  assert.deepEqual(
    choices(tokens, []).map((client) => client.id),
    ["pat:1"],
  );
  assert.deepEqual(
    choices(tokens, ["pat:2", "pat:9"]).map((client) => [client.name, client.usable]),
    [["laptop", true], ["old phone", false], ["A token that is gone", false]],
  );
});

test("sharing is said in words", () => {
  assert.match(sharedWith({ shared: true, clients: [] }, tokens), /all clients/);
  assert.match(sharedWith({ shared: false, clients: [] }, tokens), /you alone/);
  assert.equal(sharedWith({ shared: false, clients: ["pat:1"] }, tokens), "laptop");
});
