import assert from "node:assert/strict";
import test from "node:test";
import type { Edge, Node } from "../../api/memory.ts";
import { edgeKey, entityRows, entityValue, kindsOf, nameOf, narrowed, pressed, relationRows, relationValue, sorted, spoken } from "./tables.ts";

const node = (id: string, kind: Node["kind"] = "person", mentions = 1): Node => ({
  id,
  name: id.toUpperCase(),
  kind,
  me: false,
  mentions,
});
const edge = (from: string, to: string, current = true, valid_from: string | null = null): Edge => ({
  from,
  to,
  predicate: "lives_in",
  fact_id: `${from}-${to}`,
  valid_from,
  valid_to: null,
  current,
  weight: 1,
});

test("pressing a head turns the order, and another head begins with its natural one", () => {
  const by = pressed({ by: "name", direction: "ascending" }, "name", ["mentions"]);
  assert.deepEqual(by, { by: "name", direction: "descending" });
  assert.deepEqual(pressed(by, "mentions", ["mentions"]), { by: "mentions", direction: "descending" });
  assert.deepEqual(pressed<string>(by, "kind", ["mentions"]), { by: "kind", direction: "ascending" });
});

test("entities are counted with their relations; one to itself counts once", () => {
  const rows = entityRows([node("a"), node("b")], [edge("a", "b"), edge("a", "a")]);
  assert.deepEqual(
    rows.map((row) => [row.id, row.relations]),
    [["a", 2], ["b", 1]],
  );
});

test("rows sort by words and by numbers, and equals stay where they were", () => {
  const rows = entityRows([node("b", "person", 2), node("a", "person", 10), node("c", "person", 2)], []);
  const names = (by: "name" | "mentions", direction: "ascending" | "descending") =>
    sorted(rows, { by, direction }, entityValue).map((row) => row.id);
  assert.deepEqual(names("name", "ascending"), ["a", "b", "c"]);
  assert.deepEqual(names("mentions", "descending"), ["a", "b", "c"]);
  assert.deepEqual(names("mentions", "ascending"), ["b", "c", "a"]);
});

test("a relation without a beginning sorts last, whichever way", () => {
  const nodes = [node("a"), node("b"), node("c")];
  const rows = relationRows(nodes, [edge("a", "b"), edge("b", "c", true, "2020-01-01"), edge("c", "a", false, "2021-01-01")]);
  for (const direction of ["ascending", "descending"] as const) {
    assert.equal(sorted(rows, { by: "since", direction }, relationValue).at(-1)?.from, "a");
  }
});

test("a relation to what is not shown is in no table", () => {
  assert.equal(relationRows([node("a")], [edge("a", "gone")]).length, 0);
});

test("a filter of kinds takes the relations of what it hides along", () => {
  const graph = { nodes: [node("a"), node("b", "place")], edges: [edge("a", "b"), edge("a", "a", false)] };
  assert.deepEqual(narrowed(graph, new Set(["person"]), false).edges.length, 1);
  assert.deepEqual(narrowed(graph, new Set(), true).edges.length, 1);
  assert.deepEqual(kindsOf(graph.nodes), ["person", "place"]);
});

test("entities that only were mentioned together have an edge of their own", () => {
  assert.equal(edgeKey(edge("a", "b")), "a-b");
  assert.equal(edgeKey({ ...edge("a", "b"), fact_id: null }), "a lives_in b");
});

test("whose memory it is is called you", () => {
  assert.equal(nameOf({ name: "ada", me: true }), "you");
  assert.equal(nameOf({ name: "Anna" }), "Anna");
});

test("a predicate is shown as words", () => {
  assert.equal(spoken("lives_in"), "lives in");
});
