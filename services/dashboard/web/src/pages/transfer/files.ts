/** Files that the house takes, and what their reports say. */
import type { ImportReport } from "../../api/memory.ts";

const MIB = 1_048_576;
export const BYTES_MAX = 64 * MIB;

const TYPES: Record<string, string> = {
  zip: "application/zip",
  jsonl: "application/x-ndjson",
  ndjson: "application/x-ndjson",
  md: "text/markdown",
};
export const ACCEPT = Object.keys(TYPES)
  .map((ending) => `.${ending}`)
  .join(",");

/** What kind of file it is by its name, or null for one that the house does not take. */
export function typeOf(name: string): string | null {
  return TYPES[name.toLowerCase().split(".").pop() ?? ""] ?? null;
}

/** What stands against sending a file, before a byte of it is sent. */
export function objection(file: { name: string; size: number }): string {
  if (typeOf(file.name) === null) return "Only .zip and .md of Markdown, and .jsonl files, can be imported.";
  if (file.size === 0) return "The file is empty.";
  return file.size > BYTES_MAX ? "The file is larger than 64 MiB. Split it, and import the parts one after the other." : "";
}

/** What an import does or would do, row by row; what is zero and means nothing good or bad is left out. */
export function outcome(report: ImportReport): { label: string; count: number; tone: "good" | "warn" | "plain" }[] {
  const lines = [
    { label: "new", count: report.inserted, tone: "good" as const },
    { label: "edited", count: report.edited, tone: "good" as const },
    { label: "unchanged", count: report.unchanged, tone: "plain" as const },
    { label: "duplicates", count: report.duplicate, tone: "plain" as const },
    { label: "not taken", count: report.quarantined, tone: "warn" as const },
    { label: "missing in the file", count: report.missing, tone: "warn" as const },
    { label: "forgotten", count: report.forgotten, tone: "warn" as const },
    { label: "entities named or merged by hand", count: report.entities, tone: "good" as const },
    { label: "other lines", count: report.notes, tone: "plain" as const },
  ];
  return lines.filter((line) => line.count > 0);
}

/** Whether importing would change anything; `deleting`: rows missing in the file count too. */
export function changes(report: ImportReport, deleting: boolean): number {
  return report.inserted + report.edited + (deleting ? report.missing : 0);
}

const REASONS: Record<string, string> = {
  conflict: "changed both by hand and in the house",
  forgotten: "forgotten in the house",
};
export const reasonWords = (reason: string): string => REASONS[reason] ?? reason.replace(/[_.]+/g, " ");
