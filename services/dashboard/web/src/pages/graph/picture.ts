/** What the picture of the graph decides without a canvas. */

/** Places on a spiral: no two alike, the same for the same graph, and never a random one. */
export function startAt(index: number): { x: number; y: number } {
  const angle = index * 2.399963;
  const radius = Math.sqrt(index + 1);
  return { x: radius * Math.cos(angle), y: radius * Math.sin(angle) };
}

/** A kind's colour: by its place in the list of kinds; more kinds than colours share them, and the tables name them. */
export function colour(kind: string, kinds: readonly string[], colours: readonly string[]): string {
  const at = Math.max(0, kinds.indexOf(kind));
  return colours[at % Math.max(1, colours.length)] ?? "#888888";
}
