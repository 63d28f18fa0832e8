import assert from "node:assert/strict";
import test from "node:test";
import type { Container } from "../../api/client.ts";
import { grouped, judged, totals } from "./rows.ts";

const container = (name: string, domain: string, state = "running", health: string | null = "healthy"): Container => ({
  name,
  domain,
  state,
  health,
  started_at: null,
  restarts: 0,
  memory_bytes: 10,
  budget_bytes: 20,
  cpu_percent: 0.5,
});

test("what is ill comes first within its domain", () => {
  const groups = grouped([
    container("memory", "memory"),
    container("embedder", "memory", "restarting"),
    container("caddy", "edge", "running", null),
  ]);
  assert.deepEqual(
    groups.map((group) => [group.domain, group.rows.map((row) => row.name)]),
    [
      ["edge", ["caddy"]],
      ["memory", ["embedder", "memory"]],
    ],
  );
});

test("a finished job is well and a container without a healthcheck is running", () => {
  assert.equal(judged(container("migrate", "data", "finished", null)).mood, "plain");
  assert.equal(judged(container("x", "data", "running", null)).word, "running");
  assert.equal(judged(container("x", "data", "exited", null)).mood, "bad");
});

test("totals count the ill and add what is known", () => {
  const unknown = { ...container("a", "edge", "exited", null), memory_bytes: null, cpu_percent: null };
  assert.deepEqual(totals([unknown, container("b", "edge"), container("c", "edge", "running", "starting")]), {
    ill: 1,
    starting: 1,
    running: 2,
    memory: 20,
    budget: 60,
    cpu: 1,
  });
});

test("budgets are only added up when every running container has one", () => {
  const free = { ...container("local-llm", "inference"), budget_bytes: null };
  assert.equal(totals([free, container("b", "edge")]).budget, 0);
});
