/** Days as a person picks them, instants as the house keeps them. A day is one of this device's own zone. */

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const MINUTE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/;

function instant(text: string): Date | null {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** The first instant of a picked day, or undefined for anything that is none. */
export function dayStart(day: string): string | undefined {
  return DAY.test(day) ? instant(`${day}T00:00`)?.toISOString() : undefined;
}

/** The first instant after a picked day: with it as an open end, the day itself is in. */
export function dayEnd(day: string): string | undefined {
  const start = DAY.test(day) ? instant(`${day}T00:00`) : null;
  if (!start) return undefined;
  // By the calendar and not by hours: some days have 23 or 25.
  start.setDate(start.getDate() + 1);
  return start.toISOString();
}

const two = (value: number): string => String(value).padStart(2, "0");

/** An instant as `<input type="date">` wants it. */
export function toDay(iso: string | null | undefined): string {
  const date = iso ? instant(iso) : null;
  return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : "";
}

/** An instant as `<input type="datetime-local">` wants it. */
export function toMinute(iso: string | null | undefined): string {
  const date = iso ? instant(iso) : null;
  return date ? `${toDay(iso)}T${two(date.getHours())}:${two(date.getMinutes())}` : "";
}

/** What such a field holds, as an instant; null when it is empty or half typed. */
export function fromField(value: string): string | null {
  if (DAY.test(value)) return dayStart(value) ?? null;
  return MINUTE.test(value) ? (instant(value)?.toISOString() ?? null) : null;
}

/** A day in words, in the reader's language. */
export function inWords(iso: string): string {
  const date = instant(iso);
  if (!date) return iso;
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** `[since, until)` in words: one day, or from one day to another. */
export function between(since: string | null | undefined, until: string | null | undefined): string {
  if (!since && !until) return "at any time";
  // The end is open: the last day in it is the one an instant before.
  const last = until ? new Date(new Date(until).getTime() - 1).toISOString() : "";
  if (!since) return `until ${inWords(last)}`;
  if (!until) return `since ${inWords(since)}`;
  return inWords(since) === inWords(last) ? inWords(since) : `${inWords(since)} to ${inWords(last)}`;
}
