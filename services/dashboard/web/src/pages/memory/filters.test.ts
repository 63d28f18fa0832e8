import assert from "node:assert/strict";
import test from "node:test";
import { chips, forgettable, fromQuery, listQuery, recallBody, searches, toSearch } from "./filters.ts";

// What was replaced is found, below what replaced it; what was archived is not.
const kept = { archived: false, superseded: true };
const of = (search: string) => fromQuery(new URLSearchParams(search));

test("an address and its filters say the same, and what is empty leaves no trace", () => {
  const search = "?q=where+is+the+key&tier=sensitive&namespace=work&since=2026-05-01";
  assert.equal(toSearch(of(search)), search);
  assert.equal(toSearch(of("")), "");
  assert.equal(toSearch(of("?unknown=1&tier=")), "");
});

test("a search asks for nothing that was not chosen", () => {
  assert.deepEqual(recallBody(of("?q=key"), 30), { query: "key", limit: 30, ...kept });
});

test("a search sends every filter, and a day includes its own end", () => {
  const body = recallBody(of("?q=key&tier=sacred&namespace=work&level=episodic&source=turn&entity=e&since=2026-05-01&until=2026-05-01"), 30);
  assert.deepEqual(body, {
    query: "key",
    limit: 30,
    ...kept,
    tiers: ["sacred"],
    namespaces: ["work"],
    levels: ["episodic"],
    sources: ["turn"],
    entities: ["e"],
    since: new Date(2026, 4, 1).toISOString(),
    until: new Date(2026, 4, 2).toISOString(),
  });
});

test("the state of a search is two switches", () => {
  assert.equal(recallBody(of("?q=a&state=active"), 1).superseded, false);
  assert.equal(recallBody(of("?q=a&state=all"), 1).archived, true);
  assert.deepEqual(recallBody(of("?q=a"), 1), { query: "a", limit: 1, ...kept });
});

test("a list shows what is active unless something else is asked for", () => {
  assert.equal(listQuery(of(""), 30, null).state, "active");
  assert.equal(listQuery(of("?state=all"), 30, null).state, "all");
});

test("a list within a time is ordered by that time", () => {
  assert.equal(listQuery(of("?since=2026-05-01"), 30, null).order, "occurred");
  assert.deepEqual(listQuery(of("?state=archived"), 30, "next"), { limit: 30, state: "archived", cursor: "next" });
});

test("without words the memories of an entity are listed, all of them", () => {
  assert.equal(searches(of("?q=key&entity=e")), true);
  assert.equal(searches(of("?entity=e")), false);
  assert.deepEqual(listQuery(of("?entity=e"), 30, null), { limit: 30, entity: "e", state: "active" });
});

test("all of a list is forgotten by what narrows it, and nothing else can be forgotten at once", () => {
  assert.deepEqual(forgettable(of("?namespace=work&source=import&tier=sensitive")), {
    namespace: "work",
    source: { kind: "import" },
    tiers: ["sensitive"],
  });
  for (const search of ["", "?tier=sacred", "?q=key&namespace=work", "?namespace=work&state=archived"]) {
    assert.equal(forgettable(of(search)), null, search);
  }
});

test("a date that was typed by hand and is none is not sent", () => {
  assert.deepEqual(recallBody(of("?q=a&since=yesterday"), 1), { query: "a", limit: 1, ...kept });
});

test("whatever narrows the list is said in words; a list is not asked as of any day", () => {
  assert.deepEqual(chips(of("?namespace=work&state=superseded&asof=2026-01-01")), [
    { key: "namespace", label: "namespace work" },
    { key: "state", label: "Superseded" },
  ]);
  assert.deepEqual(
    chips(of("?q=x&state=all&entity=e&asof=2026-01-01"), "Anna").map((chip) => chip.label),
    ["about Anna", "Archived too", "asked as of 2026-01-01"],
  );
});
