import type { Container } from "../../api/client.ts";

export type Mood = "good" | "warn" | "bad" | "plain";
export type Row = Container & { word: string; mood: Mood };

/** What a person is told of a container's state, in one word and never by colour alone. */
export function judged(container: Container): Row {
  const { state, health } = container;
  if (state === "finished") return { ...container, word: "finished", mood: "plain" };
  if (state !== "running") return { ...container, word: state, mood: "bad" };
  if (health === "unhealthy") return { ...container, word: "unhealthy", mood: "bad" };
  if (health === "starting") return { ...container, word: "starting", mood: "warn" };
  return { ...container, word: health === "healthy" ? "healthy" : "running", mood: "good" };
}

const ORDER: Record<Mood, number> = { bad: 0, warn: 1, good: 2, plain: 3 };

/** By domain as the house is built; within it what is ill comes first, then by name. */
export function grouped(containers: readonly Container[]): { domain: string; rows: Row[] }[] {
  const groups = new Map<string, Row[]>();
  for (const container of containers) {
    const rows = groups.get(container.domain) ?? [];
    rows.push(judged(container));
    groups.set(container.domain, rows);
  }
  return [...groups.entries()]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([domain, rows]) => ({
      domain,
      rows: rows.sort((a, b) => ORDER[a.mood] - ORDER[b.mood] || a.name.localeCompare(b.name)),
    }));
}

export type Totals = { ill: number; starting: number; running: number; memory: number; budget: number; cpu: number };

export function totals(containers: readonly Container[]): Totals {
  let unbudgeted = 0;
  const sum: Totals = { ill: 0, starting: 0, running: 0, memory: 0, budget: 0, cpu: 0 };
  for (const container of containers) {
    const { mood } = judged(container);
    if (mood === "bad") sum.ill += 1;
    if (mood === "warn") sum.starting += 1;
    if (container.state === "running") sum.running += 1;
    sum.memory += container.memory_bytes ?? 0;
    // A sum of budgets means something only if each container has one.
    if (container.state === "running" && container.budget_bytes == null) unbudgeted += 1;
    sum.budget += container.budget_bytes ?? 0;
    sum.cpu += container.cpu_percent ?? 0;
  }
  if (unbudgeted > 0) sum.budget = 0;
  return sum;
}
