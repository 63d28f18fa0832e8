import type { Minute, Model, Part } from "../../api/inference.ts";

/** What memory of a card may be, in the order in which it is stacked. */
export const KINDS = [
  { id: "weights", name: "Model" },
  { id: "cache", name: "Cache" },
  { id: "other", name: "Other of a model" },
  { id: "lease", name: "Lease" },
  { id: "remnant", name: "Not yet freed" },
  { id: "foreign", name: "Not of Lares" },
  { id: "reserve", name: "Kept free" },
  { id: "free", name: "Free" },
] as const;
export type Kind = (typeof KINDS)[number]["id"];

export const kindName = (id: string): string => KINDS.find((kind) => kind.id === id)?.name ?? id;

/** Gibibytes, as cards are sold; below one, mebibytes. */
export function memory(mib: number): string {
  return mib >= 1024 ? `${(mib / 1024).toFixed(1)} GiB` : `${mib} MiB`;
}

export type Slice = { kind: Kind; model: string | null; mib: number; share: number };

/** The parts of a card as shares of it, stacked in one order whatever order they come in; never more than the whole. */
export function slices(parts: readonly Part[], total: number): Slice[] {
  const sum = parts.reduce((all, part) => all + part.mib, 0);
  const whole = Math.max(total, sum, 1);
  const rank = (part: Part): number => KINDS.findIndex((kind) => kind.id === part.what);
  return [...parts]
    .filter((part) => part.mib > 0)
    .sort((a, b) => (a.model ?? "~").localeCompare(b.model ?? "~") || rank(a) - rank(b))
    .sort((a, b) => Number(rank(a) > 2) - Number(rank(b) > 2) || (rank(a) > 2 ? rank(a) - rank(b) : 0))
    .map((part) => ({ kind: part.what, model: part.model ?? null, mib: part.mib, share: part.mib / whole }));
}

export type Column = { start: Date; end: Date; used: number; total: number; watts: number | null; slices: Slice[] };

/** The minutes of one card gathered into `count` columns of equal length; of each its fullest minute. Null: nothing is known. */
export function columns(minutes: readonly Minute[], since: Date, until: Date, count: number): (Column | null)[] {
  const length = (until.getTime() - since.getTime()) / count;
  const fullest: (Minute | null)[] = Array.from({ length: count }, () => null);
  for (const minute of minutes) {
    const at = Math.floor((Date.parse(minute.at) - since.getTime()) / length);
    const before = fullest[at];
    if (at >= 0 && at < count && (!before || minute.used_mib > before.used_mib)) fullest[at] = minute;
  }
  return fullest.map((minute, index) =>
    minute === null
      ? null
      : {
          start: new Date(since.getTime() + index * length),
          end: new Date(since.getTime() + (index + 1) * length),
          used: minute.used_mib,
          total: minute.total_mib,
          watts: minute.watts ?? null,
          slices: slices(minute.parts, minute.total_mib),
        },
  );
}

export type Offer = { verb: "load" | "sleep" | "evict" | "pin" | "unpin" | "ban" | "allow"; name: string };

/** What an owner can do with a model as it is now, the likeliest first. */
export function offers(model: Model): Offer[] {
  if (model.banned) return [{ verb: "allow", name: "Allow" }];
  const resident = model.phase === "ready" || model.phase === "waking" || model.phase === "starting";
  const here = resident || model.phase === "asleep";
  const list: Offer[] = [];
  if (!resident) list.push({ verb: "load", name: model.phase === "asleep" ? "Wake" : "Load" });
  // What is pinned would come back at once: it is unpinned first.
  if (resident && model.can_sleep && !model.pinned) list.push({ verb: "sleep", name: "Sleep" });
  if (here && !model.pinned) list.push({ verb: "evict", name: "Evict" });
  list.push(model.pinned ? { verb: "unpin", name: "Unpin" } : { verb: "pin", name: "Pin" });
  list.push({ verb: "ban", name: "Ban" });
  return list;
}

const DID: Record<string, string> = {
  start: "Started",
  wake: "Woken",
  sleep: "Sent to sleep",
  stop: "Ended",
  drain: "Being emptied",
  hold: "Kept for more urgent work",
  grant: "Given a place",
  refuse: "Refused",
  preempt: "Put back",
  revoke: "Lease ended",
  wake_node: "Node woken",
};

/** What was decided, as one would say it; a word of a newer house stands as it is. */
export const did = (verb: string): string => DID[verb] ?? verb;

export type Mood = "good" | "warn" | "bad" | "plain" | "calm";

/** How a phase is shown: never by colour alone, the word stands beside it. */
export function mood(phase: string): Mood {
  if (phase === "ready") return "good";
  if (phase === "failed") return "bad";
  if (phase === "asleep") return "calm";
  return phase === "stopped" || phase === "absent" || phase === "cold" ? "plain" : "warn";
}
