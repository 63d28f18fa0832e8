import * as house from "../../api/memory.ts";
import { api, ok, type Memory, type Schemas } from "../../api/client.ts";
import { toasts } from "../../lib/toasts.svelte.ts";
import { asBefore } from "./fields.ts";
import { tell } from "./news.ts";

export type Change = Schemas["EditRequest"];

const patch = (id: string, body: Change): Promise<Memory> =>
  ok(api.PATCH("/api/memories/{memory_id}", { params: { path: { memory_id: id } }, body }));

/** Shows a change at once, keeps it if the house agrees, and offers to take it back. */
export async function change(memory: Memory, fields: Change): Promise<void> {
  if (Object.keys(fields).length === 0) return;
  const before = asBefore(memory, fields as Partial<Memory>) as Change;
  tell({ put: { ...memory, ...(fields as Partial<Memory>) } });
  try {
    tell({ put: await patch(memory.id, fields) });
    toasts.say(fields.tier ? "Tier changed." : "Memory changed.", () => void undo(() => patch(memory.id, before)));
  } catch (error) {
    tell({ put: memory });
    toasts.fail(error);
  }
}

/** What is no longer true stays, below what replaced it. Throws CodedError. */
export async function supersede(memory: Memory, by: { by: string } | { text: string }): Promise<Memory> {
  const next = await house.supersede(memory.id, by);
  tell({ put: { ...memory, superseded_by: next.id, superseded_at: new Date().toISOString() } });
  tell({ put: next });
  toasts.say("Replaced; the old one is kept below it.", () => void restore(memory));
  return next;
}

/** Takes back that a memory was superseded or archived. */
export const restore = (memory: Memory): Promise<void> => undo(() => house.restore(memory.id), "It holds again.");

/** One memory of two, with the sources of both. Throws CodedError. */
export async function merge(memory: Memory, other: string): Promise<Memory> {
  const merged = await house.merge(memory.id, other);
  for (const id of [memory.id, other]) if (id !== merged.id) tell({ gone: id });
  tell({ put: merged });
  toasts.say("Merged: one memory, with the sources of both.");
  return merged;
}

/** Erases a memory everywhere. It cannot be undone; what comes back proves it. Throws CodedError. */
export async function forget(id: string): Promise<house.Proof> {
  const proof = await house.forget(id);
  tell({ gone: id });
  return proof;
}

async function undo(act: () => Promise<Memory>, said = ""): Promise<void> {
  try {
    tell({ put: await act() });
    if (said) toasts.say(said);
  } catch (error) {
    toasts.fail(error);
  }
}
