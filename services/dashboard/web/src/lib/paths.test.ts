import assert from "node:assert/strict";
import test from "node:test";
import { localPath } from "./paths.ts";

test("a path of the house is kept with its query", () => {
  assert.equal(localPath("/memory?q=rex#top"), "/memory?q=rex#top");
});

test("no other site and no script is ever returned to", () => {
  const hostile = [
    "//evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "https://evil.test",
    "javascript:alert(1)",
    "/\t/evil.test",
    "/a\\..\\//evil.test",
    "/.//evil.test/..//x",
    "",
    "memory",
  ];
  for (const wanted of hostile) {
    const path = localPath(wanted);
    assert.match(path, /^\/(?!\/)/, wanted);
    assert.equal(new URL(path, "https://house.invalid").host, "house.invalid", wanted);
  }
  assert.equal(localPath("//evil.test"), "/");
});

test("signing in never leads back to the sign-in page", () => {
  assert.equal(localPath("/signin?rd=/signin"), "/");
  assert.equal(localPath(null), "/");
});
