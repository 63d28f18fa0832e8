import assert from "node:assert/strict";
import test from "node:test";
import { colour, startAt } from "./picture.ts";

test("no two entities begin at the same place, and each time at the same one", () => {
  const places = new Set(Array.from({ length: 2000 }, (_, index) => JSON.stringify(startAt(index))));
  assert.equal(places.size, 2000);
  assert.deepEqual(startAt(7), startAt(7));
});

test("a kind keeps its colour, and a kind too many shares one", () => {
  const kinds = ["person", "place", "thing"];
  assert.equal(colour("place", kinds, ["red", "blue"]), "blue");
  assert.equal(colour("thing", kinds, ["red", "blue"]), "red");
  assert.equal(colour("unheard of", kinds, ["red", "blue"]), "red");
});
