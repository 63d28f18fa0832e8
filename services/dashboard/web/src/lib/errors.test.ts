import assert from "node:assert/strict";
import test from "node:test";
import { CodedError, codedFrom, codedOf, traceId } from "./errors.ts";

test("a coded error keeps its code, reason, fix and correlation id", () => {
  const body = { error: { code: "memory.unavailable", reason: "r", fix: "f", correlation_id: "abc" } };
  assert.deepEqual(codedFrom(503, body), {
    code: "memory.unavailable",
    reason: "r",
    fix: "f",
    correlationId: "abc",
    status: 503,
  });
});

test("the sign-in library's list becomes one coded error", () => {
  const body = { status: 400, errors: [{ message: "Wrong code.", code: "incorrect_code", param: "code" }] };
  const coded = codedFrom(400, body, "t1");
  assert.equal(coded.code, "identity.incorrect_code");
  assert.equal(coded.reason, "Wrong code.");
  assert.equal(coded.correlationId, "t1");
});

test("an answer that is no JSON still says what to do", () => {
  for (const body of [null, "<html>", 7, {}, { error: "no" }]) {
    const coded = codedFrom(429, body);
    assert.equal(coded.code, "http.429");
    assert.match(coded.fix, /Wait/);
  }
});

test("a network failure is told as an absent house, not as a type error", () => {
  assert.equal(codedOf(new TypeError("Failed to fetch")).code, "browser.offline");
  const coded = codedFrom(404, null);
  assert.equal(codedOf(new CodedError(coded)), coded);
});

test("only a well-formed traceparent yields a correlation id", () => {
  assert.equal(traceId("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "0af7651916cd43dd8448eb211c80319c");
  assert.equal(traceId("nonsense"), "");
  assert.equal(traceId(null), "");
});
