/** What a person is told of a result: why it was found, how strong it is, what became of it. */

export type Reason = { arm: string; score: number; detail: string };

const arms: Record<string, { label: string; title: string }> = {
  vector: { label: "found by meaning", title: "It means something close to the question" },
  lexical: { label: "found by its words", title: "It shares words with the question" },
  entity: { label: "found by a name", title: "It speaks of somebody or something that the question names" },
  time: { label: "found by its time", title: "It happened when the question asks about" },
  decay: { label: "weighed by strength", title: "What is used stays strong; what is not fades" },
  fact: { label: "states a fact", title: "A fact drawn from it answers the question" },
  rerank: { label: "read again", title: "A second model compared it with the question" },
};

export type Chip = { arm: string; label: string; title: string };

/** One chip a reason, what counted most first: what found it, how much that counted, and the word on it. */
export function why(reasons: readonly Reason[]): Chip[] {
  return [...reasons]
    .sort((a, b) => b.score - a.score)
    .map((reason) => {
      const arm = arms[reason.arm] ?? { label: reason.arm, title: "" };
      const detail = reason.detail.trim();
      return { arm: reason.arm, label: `${arm.label} ${percent(reason.score)}${detail ? `: ${detail}` : ""}`, title: arm.title };
    });
}

export const percent = (share: number): string => `${Math.round(Math.min(1, Math.max(0, share)) * 100)} %`;

/** Strength in a word; the number alone says little. Knowledge does not fade. */
export function vigour(strength: number): string {
  if (strength >= 2) return "vivid";
  if (strength >= 0.6) return "strong";
  if (strength >= 0.25) return "fading";
  return "faint";
}

/** The first words of a memory, as its buttons are named. */
export function short(text: string, length = 60): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

export type Standing = { word: string; tone: "plain" | "warn" | "calm" };
type Kept = {
  superseded_by?: string | null;
  superseded_at?: string | null;
  archived_at?: string | null;
  expires_at?: string | null;
  valid_to?: string | null;
};

/** What became of a memory that is no longer simply there; nothing for one that is. */
export function standing(memory: Kept, now: Date): Standing[] {
  const words: Standing[] = [];
  if (memory.superseded_at || memory.superseded_by) words.push({ word: "superseded", tone: "warn" });
  else if (memory.valid_to && new Date(memory.valid_to) <= now) words.push({ word: "no longer true", tone: "warn" });
  if (memory.archived_at) words.push({ word: "archived", tone: "plain" });
  if (memory.expires_at) words.push({ word: "will expire", tone: "calm" });
  return words;
}
