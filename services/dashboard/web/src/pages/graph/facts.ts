import { nameOf, spoken } from "./tables.ts";

type Stated = {
  entity: { name: string; me?: boolean };
  predicate: string;
  label?: string;
  qualifier?: string;
  polarity: boolean;
  object: string;
};

/** A fact as one line: "Anna lives in Porto", "your dog is called Rex", "not so: Anna likes olives". */
export function inWords(fact: Stated): string {
  const relation = `${fact.label || spoken(fact.predicate)} ${fact.object}`;
  return `${fact.polarity ? "" : "not so: "}${subject(fact)} ${relation}`;
}

function subject({ entity, qualifier }: Stated): string {
  // Labels are in the third person, and "you lives in" is not said.
  if (!qualifier) return entity.me ? "you:" : nameOf(entity);
  return `${entity.me ? "your" : `${nameOf(entity)}’s`} ${qualifier}`;
}
