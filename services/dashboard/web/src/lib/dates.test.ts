import assert from "node:assert/strict";
import test from "node:test";
import { between, dayEnd, dayStart, fromField, inWords, toDay, toMinute } from "./dates.ts";

test("a picked day begins and ends at this device's midnights", () => {
  assert.equal(dayStart("2026-03-28"), new Date(2026, 2, 28).toISOString());
  assert.equal(dayEnd("2026-03-28"), new Date(2026, 2, 29).toISOString());
  assert.equal(dayEnd("2026-12-31"), new Date(2027, 0, 1).toISOString());
});

test("what is no day is nothing", () => {
  for (const wrong of ["", "today", "2026-13-45", "2026-3-1"]) {
    assert.equal(dayStart(wrong), undefined);
    assert.equal(dayEnd(wrong), undefined);
  }
});

test("an instant goes into a field and comes back to the minute", () => {
  const iso = new Date(2026, 4, 7, 18, 5).toISOString();
  assert.equal(toMinute(iso), "2026-05-07T18:05");
  assert.equal(fromField(toMinute(iso)), iso);
  assert.equal(toDay(iso), "2026-05-07");
  assert.equal(fromField("2026-05-07"), new Date(2026, 4, 7).toISOString());
});

test("an empty or half typed field clears the time", () => {
  assert.equal(fromField(""), null);
  assert.equal(fromField("2026-05"), null);
  assert.equal(toMinute(null), "");
  assert.equal(toDay("nonsense"), "");
});

test("an open end means the day before it", () => {
  const may = (day: number) => new Date(2026, 4, day).toISOString();
  assert.equal(between(may(1), may(2)), inWords(may(1)));
  assert.equal(between(may(1), may(4)), `${inWords(may(1))} to ${inWords(may(3))}`);
  assert.equal(between(may(1), null), `since ${inWords(may(1))}`);
  assert.equal(between(null, may(2)), `until ${inWords(may(1))}`);
  assert.equal(between(null, null), "at any time");
});
