/** The journal of consolidation, ready to be read. */
import type { Move } from "../../api/memory.ts";
import { levelName } from "../../lib/levels.ts";

const verbs: Record<Move["move"], string> = {
  promoted: "promoted",
  demoted: "demoted",
  archived: "archived",
  expired: "expired",
  merged: "merged",
  compressed: "summed up",
  restored: "restored",
};

/** "promoted from Session to Working": where a move leads nowhere else, the place is said once. */
export function moveWords(move: Pick<Move, "move" | "from_level" | "to_level">, planned = false): string {
  const verb = planned ? `to be ${verbs[move.move]}` : verbs[move.move];
  if (move.from_level === move.to_level) return `${verb}, in ${levelName(move.from_level)}`;
  return `${verb} from ${levelName(move.from_level)} to ${levelName(move.to_level)}`;
}

/** How many of each kind of move, most first: what a plan comes to. */
export function tally(moves: readonly Pick<Move, "move">[]): string {
  const counts = new Map<string, number>();
  for (const { move } of moves) counts.set(verbs[move], (counts.get(verbs[move]) ?? 0) + 1);
  return [...counts.entries()]
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .map(([verb, count]) => `${count} ${verb}`)
    .join(", ");
}

/** Newer entries before the ones already shown; what is shown stays, so that nothing is lost under the eye. */
export function joined(newer: readonly Move[], shown: readonly Move[]): Move[] {
  const known = new Set(newer.map((move) => move.id));
  return [...newer, ...shown.filter((move) => !known.has(move.id))];
}
