import { dayEnd, dayStart } from "../../lib/dates.ts";

/** What the Memory page shows, as its address says it: a search or a list, and within what. */
export type Filters = {
  q: string;
  tier: string;
  namespace: string;
  level: string;
  source: string;
  entity: string;
  state: string;
  /** Days as a person picks them: both are meant to be included. */
  since: string;
  until: string;
  /** The day a question is asked from. */
  asof: string;
};

export const KEYS = ["q", "tier", "namespace", "level", "source", "entity", "state", "since", "until", "asof"] as const;
export type Key = (typeof KEYS)[number];

/** What a list holds, and what a search looks through: a search ranks what was replaced below what replaced it. */
export const states = {
  list: [
    { id: "", name: "Active" },
    { id: "archived", name: "Archived" },
    { id: "superseded", name: "Superseded" },
    { id: "all", name: "All" },
  ],
  search: [
    { id: "", name: "With what was replaced" },
    { id: "active", name: "Only what still holds" },
    { id: "all", name: "Archived too" },
  ],
} as const;

export function fromQuery(params: URLSearchParams): Filters {
  const read = (key: Key) => (params.get(key) ?? "").trim();
  return Object.fromEntries(KEYS.map((key) => [key, read(key)])) as Filters;
}

/** The address's search part for these filters: empty ones leave no trace in it. */
export function toSearch(filters: Filters): string {
  const params = new URLSearchParams();
  for (const key of KEYS) if (filters[key]) params.set(key, filters[key]);
  const text = params.toString();
  return text ? `?${text}` : "";
}

/** Whether these filters search; without words they list. */
export const searches = (filters: Filters): boolean => filters.q !== "";

type Given<T> = { [K in keyof T]?: Exclude<T[K], ""> };

function given<T extends Record<string, unknown>>(fields: T): Given<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== "" && value !== undefined && value !== null),
  ) as Given<T>;
}

const one = (value: string): string[] | undefined => (value ? [value] : undefined);

/** The body of a recall. Superseded memories are in by default, below what replaced them. */
export function recallBody(filters: Filters, limit: number) {
  return {
    query: filters.q,
    limit,
    archived: filters.state === "all",
    superseded: filters.state !== "active",
    ...given({
      tiers: one(filters.tier),
      namespaces: one(filters.namespace),
      levels: one(filters.level),
      sources: one(filters.source),
      entities: one(filters.entity),
      since: dayStart(filters.since),
      until: dayEnd(filters.until),
      as_of: dayEnd(filters.asof),
    }),
  };
}

/** The query of a list. */
export function listQuery(filters: Filters, limit: number, cursor: string | null) {
  return {
    limit,
    ...given({
      tier: filters.tier,
      namespace: filters.namespace,
      level: filters.level,
      source: filters.source,
      entity: filters.entity,
      // What was put away or replaced is asked for.
      state: filters.state || "active",
      since: dayStart(filters.since),
      until: dayEnd(filters.until),
      order: filters.since || filters.until ? "occurred" : "",
      cursor: cursor ?? "",
    }),
  };
}

/**
 * What forgetting all of a list would send, or null where a list is not all that fits: a search is only the best of
 * what it found, and a state is nothing to forget by.
 */
export function forgettable(filters: Filters) {
  if (filters.q || filters.state || filters.asof) return null;
  const what = given({
    namespace: filters.namespace,
    level: filters.level,
    source: filters.source ? { kind: filters.source } : undefined,
    entity: filters.entity,
    since: dayStart(filters.since),
    until: dayEnd(filters.until),
  });
  return Object.keys(what).length > 0 ? { ...what, ...given({ tiers: one(filters.tier) }) } : null;
}

export type Chip = { key: Key; label: string };

/** The filters beside the search itself, in words, so that nothing narrows a list unseen. */
export function chips(filters: Filters, entityName = ""): Chip[] {
  const searching = searches(filters);
  const known: readonly { id: string; name: string }[] = searching ? states.search : states.list;
  const words: Record<Exclude<Key, "q" | "tier">, string> = {
    namespace: `namespace ${filters.namespace}`,
    level: `level ${filters.level}`,
    source: `from ${filters.source}`,
    entity: `about ${entityName || "one entity"}`,
    state: known.find((candidate) => candidate.id === filters.state)?.name ?? filters.state,
    since: `since ${filters.since}`,
    until: `until ${filters.until}`,
    asof: `asked as of ${filters.asof}`,
  };
  // A list is not asked from any day.
  return (Object.keys(words) as (keyof typeof words)[])
    .filter((key) => filters[key] && (key !== "asof" || searching))
    .map((key) => ({ key, label: words[key] }));
}
