/** Milliseconds to wait before the nth try in a row: doubling to half a minute, spread so that tabs do not march in step. */
export function backoffMs(failures: number, random: () => number = Math.random): number {
  const base = Math.min(30_000, 1000 * 2 ** Math.min(failures, 10));
  return Math.round(base * (0.5 + random() / 2));
}
