/** The timeline's windows. The house counts in UTC, so windows and labels are UTC too. */

export type Size = "day" | "week" | "month";
export type Counted = { start: string; count: number; by_level: Record<string, number> };
export type Window = { since: Date; until: Date };

/** How many bars a window has: as many as a hand can scroll past. */
const BARS: Record<Size, number> = { day: 31, week: 26, month: 24 };

export const sizes = [
  { id: "day", name: "Days" },
  { id: "week", name: "Weeks" },
  { id: "month", name: "Months" },
] as const satisfies readonly { id: Size; name: string }[];

export const sizeOf = (text: string | null): Size => sizes.find((size) => size.id === text)?.id ?? "month";

/** The first instant of the bucket that `date` lies in. Weeks begin on Monday. */
export function startOf(size: Size, date: Date): Date {
  const day = size === "month" ? 1 : date.getUTCDate();
  const start = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), day));
  if (size === "week") start.setUTCDate(start.getUTCDate() - ((start.getUTCDay() + 6) % 7));
  return start;
}

/** `start` moved by whole buckets. */
export function moved(size: Size, start: Date, by: number): Date {
  const next = new Date(start);
  if (size === "month") next.setUTCMonth(next.getUTCMonth() + by);
  else next.setUTCDate(next.getUTCDate() + by * (size === "week" ? 7 : 1));
  return next;
}

/** The window whose newest bucket holds `at`. */
export function windowAt(size: Size, at: Date): Window {
  const until = moved(size, startOf(size, at), 1);
  return { since: moved(size, until, -BARS[size]), until };
}

/** The instant that the window one page older (-1) or newer (1) is asked at. */
export function paged(size: Size, at: Date, by: 1 | -1): Date {
  return moved(size, startOf(size, at), by * BARS[size]);
}

/** A picked month as the last instant in it, so that it is the newest bar; null for what is no month. */
export function monthEnd(picked: string): Date | null {
  const found = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(picked);
  return found ? new Date(Date.UTC(Number(found[1]), Number(found[2])) - 1) : null;
}

/** Every bucket of the window, newest first; the house leaves the empty ones out. */
export function filled(size: Size, window: Window, counted: readonly Counted[]): Counted[] {
  const known = new Map(counted.map((bucket) => [new Date(bucket.start).getTime(), bucket]));
  const bars: Counted[] = [];
  for (let at = moved(size, window.until, -1); at >= window.since; at = moved(size, at, -1)) {
    bars.push(known.get(at.getTime()) ?? { start: at.toISOString(), count: 0, by_level: {} });
  }
  return bars;
}

export function label(size: Size, start: string): string {
  const date = new Date(start);
  const day = { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" } as const;
  if (size === "month") return date.toLocaleDateString(undefined, { month: "long", year: "numeric", timeZone: "UTC" });
  const words = date.toLocaleDateString(undefined, day);
  return size === "week" ? `week of ${words}` : words;
}

/** The parts of a bar, largest level first, as shares of the tallest bar. */
export function parts(bucket: Counted, tallest: number): { level: string; count: number; share: number }[] {
  return Object.entries(bucket.by_level)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([level, count]) => ({ level, count, share: tallest > 0 ? count / tallest : 0 }));
}
