/** The parts of a memory that a person may change. */
const FIELDS = ["text", "tier", "namespace", "level", "occurred_at", "valid_from", "valid_to"] as const;
type Field = (typeof FIELDS)[number];
export type Editable<T extends string = string, L extends string = string> = {
  text: string;
  tier: T;
  namespace: string;
  level: L;
  occurred_at?: string | null;
  valid_from?: string | null;
  valid_to?: string | null;
};

/** Only the fields that differ: what was not touched must not be written over by an old copy. */
export function differing<E extends Editable>(before: E, after: Partial<E>): Partial<Pick<E, Field>> {
  const changed = FIELDS.filter((field) => field in after && !same(after[field], before[field]));
  return Object.fromEntries(changed.map((field) => [field, after[field] ?? null])) as Partial<Pick<E, Field>>;
}

/** The same fields as they were: what taking a change back sends. */
export function asBefore<E extends Editable>(before: E, change: Partial<Pick<E, Field>>): Partial<Pick<E, Field>> {
  const fields = FIELDS.filter((field) => field in change);
  return Object.fromEntries(fields.map((field) => [field, before[field] ?? null])) as Partial<Pick<E, Field>>;
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T/;

/** Two spellings of one instant are the same; a field of a form knows minutes alone. */
function same(a: unknown, b: unknown): boolean {
  if ((a ?? null) === (b ?? null)) return true;
  if (typeof a !== "string" || typeof b !== "string" || !INSTANT.test(a) || !INSTANT.test(b)) return false;
  return Math.floor(Date.parse(a) / 60_000) === Math.floor(Date.parse(b) / 60_000);
}
