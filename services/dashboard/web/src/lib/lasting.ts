const UNITS: [string, number][] = [
  ["year", 31_536_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** A fixed length of time in its largest whole unit: "7 days", "30 minutes". */
export function lasting(seconds: number): string {
  for (const [unit, size] of UNITS) {
    // A week is said in days until there are several.
    if (seconds >= size * (unit === "week" ? 2 : 1) && seconds % size === 0) return count(seconds / size, unit);
  }
  return count(Math.round(seconds), "second");
}

const count = (number: number, unit: string): string => `${number} ${unit}${number === 1 ? "" : "s"}`;
