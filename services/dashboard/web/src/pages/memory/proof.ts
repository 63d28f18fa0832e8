/** A forget report, ready to be read. */

type Copy = { store: string; until?: string | null; note: string };
type Report = { erased: Record<string, number>; found?: Record<string, number>; remaining?: readonly Copy[] };

const names: Record<string, string> = {
  backups: "Backups",
  write_ahead_log: "The database's log",
  dead_rows: "Erased rows on disk",
  nightly_files: "Nightly files",
};

const words = (store: string): string => store.replace(/[_.]+/g, " ");
const counted = (counts: Record<string, number>): [string, number][] =>
  Object.entries(counts).map(([store, count]) => [words(store), count]);

/** Stores that held something first, then those that were looked through and held nothing: both belong to the proof. */
export function proven(report: Report) {
  return {
    erased: counted(report.erased).sort((a, b) => Number(b[1] > 0) - Number(a[1] > 0) || a[0].localeCompare(b[0])),
    found: counted(report.found ?? {}).filter(([, count]) => count > 0),
    // The last date is the one that matters: copies that last longest come first, and those without a date before all.
    remaining: [...(report.remaining ?? [])]
      .sort((a, b) => (b.until ?? "9").localeCompare(a.until ?? "9"))
      .map((copy) => ({ ...copy, name: names[copy.store] ?? words(copy.store) })),
  };
}
