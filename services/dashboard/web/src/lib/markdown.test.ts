import assert from "node:assert/strict";
import test from "node:test";
import { inlines, parse } from "./markdown.ts";

test("markup in an answer stays text", () => {
  assert.deepEqual(parse("<img src=x onerror=alert(1)>"), [
    { kind: "paragraph", inlines: [{ kind: "text", text: "<img src=x onerror=alert(1)>" }] },
  ]);
});

test("strong, emphasised and code spans are told apart", () => {
  assert.deepEqual(inlines("a **b** `c*d*` _e_ snake_case_name"), [
    { kind: "text", text: "a " },
    { kind: "strong", text: "b" },
    { kind: "text", text: " " },
    { kind: "code", text: "c*d*" },
    { kind: "text", text: " " },
    { kind: "em", text: "e" },
    { kind: "text", text: " snake_case_name" },
  ]);
});

test("adjacent items make one list and a fence keeps its lines", () => {
  const blocks = parse("Look:\n- one\n- two\n\n1. first\n```sh\nls -l\n\n# not a heading\n```\nend");
  assert.deepEqual(
    blocks.map((block) => block.kind),
    ["paragraph", "list", "list", "code", "paragraph"],
  );
  assert.equal(blocks[1]?.kind === "list" && blocks[1].items.length, 2);
  assert.equal(blocks[3]?.kind === "code" && blocks[3].text, "ls -l\n\n# not a heading");
});

test("a fence that is still being streamed is code already", () => {
  assert.deepEqual(parse("```\nhalf"), [{ kind: "code", text: "half" }]);
});
