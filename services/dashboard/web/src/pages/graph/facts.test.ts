import assert from "node:assert/strict";
import test from "node:test";
import { inWords } from "./facts.ts";

const fact = { entity: { name: "Anna" }, predicate: "lives_in", polarity: true, object: "Porto" };

test("a fact is read as one line", () => {
  assert.equal(inWords(fact), "Anna lives in Porto");
  assert.equal(inWords({ ...fact, label: "has lived in" }), "Anna has lived in Porto");
});

test("what is not so is said, and what it is about is named", () => {
  assert.equal(inWords({ ...fact, predicate: "likes", polarity: false, object: "olives" }), "not so: Anna likes olives");
  const dog = { ...fact, predicate: "name", label: "is called", qualifier: "dog", object: "Rex" };
  assert.equal(inWords(dog), "Anna’s dog is called Rex");
  assert.equal(inWords({ ...dog, entity: { name: "me", me: true } }), "your dog is called Rex");
  assert.equal(inWords({ ...fact, entity: { name: "me", me: true } }), "you: lives in Porto");
});
