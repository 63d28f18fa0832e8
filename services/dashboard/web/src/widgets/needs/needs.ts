import type { Need, Schemas } from "../../api/client.ts";

type Person = { second_factor: boolean };
export type Shown = Omit<Need, "kind"> & { kind: Need["kind"] | "advice" };

/** The house's list, with what only the session knows: first what asks for a decision, then what is broken, then advice. */
export function merged(reply: Schemas["Needs"] | null, person: Person | null): Shown[] {
  const needs: Shown[] = [...(reply?.needs ?? [])];
  if (person && !person.second_factor) {
    needs.push({
      kind: "advice",
      title: "Add a second factor",
      detail: "A passkey or an authenticator app keeps a stolen password from opening the house.",
      href: "/security",
    });
  }
  return needs;
}
