/**
 * How well `text` answers to `query`, or null when it does not: every word of the query must begin a word of the
 * text (best), lie within it, or at least have its letters in order.
 */
export function score(query: string, text: string): number | null {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const target = text.toLowerCase();
  let total = 0;
  for (const word of words) {
    const one = wordScore(word, target);
    if (one === null) return null;
    total += one;
  }
  return total;
}

function wordScore(word: string, target: string): number | null {
  const at = target.indexOf(word);
  if (at === 0 || (at > 0 && /\W/.test(target[at - 1] ?? ""))) return 3;
  if (at > 0) return 2;
  let from = 0;
  for (const letter of word) {
    const found = target.indexOf(letter, from);
    if (found < 0) return null;
    from = found + 1;
  }
  return word.length > 1 ? 1 : null;
}

/** The items that answer, best first; equals keep their order. */
export function best<T>(query: string, items: readonly T[], textOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, points: score(query, textOf(item)) }))
    .filter((entry): entry is { item: T; points: number } => entry.points !== null)
    .sort((a, b) => b.points - a.points)
    .map((entry) => entry.item);
}
