import type { UsageKey, UsageRow } from "../../api/inference.ts";

/** Who called, as a person reads it: "you", a service by its name, somebody else by the end of their id. */
export function callerName(caller: string | null | undefined, me: string | null): string {
  if (!caller) return "–";
  const [kind, name = ""] = caller.split(/:(.*)/s);
  if (kind === "person") return name === me ? "you" : `person …${name.slice(-4)}`;
  return kind === "service" ? name : caller;
}

/** What one row is about, in the words of what was asked by. */
export function about(row: UsageRow, key: UsageKey, me: string | null): string {
  if (key === "caller") return callerName(row.caller, me);
  return (key === "day" ? row.day : key === "model" ? row.model : key === "way" ? row.way : row.service_class) || "–";
}

/** Thousands and millions short, as they are read at a glance: 1,234 is 1.2 k. */
export function short(count: number): string {
  if (count < 1000) return String(count);
  return count < 1_000_000 ? `${(count / 1000).toFixed(1)} k` : `${(count / 1_000_000).toFixed(1)} M`;
}

/** Money with as many digits as it takes to see it. */
export function money(amount: number, currency: string): string {
  if (amount === 0) return "–";
  return `${amount < 0.01 ? amount.toPrecision(1) : amount.toFixed(2)} ${currency}`;
}

/** The day so many days ago, as the accounts name days: in UTC. */
export function daysAgo(days: number, now: Date): string {
  return new Date(now.getTime() - days * 86_400_000).toISOString().slice(0, 10);
}
