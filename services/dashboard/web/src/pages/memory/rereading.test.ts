import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { Rereading } from "./rereading.ts";

function watched() {
  const read: string[] = [];
  let many = 0;
  const rereading = new Rereading(
    async (id) => void read.push(id),
    () => (many += 1),
    100,
  );
  return { read, rereading, many: () => many };
}

test("what changes several times in a moment is read once", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { read, rereading } = watched();
  for (const id of ["a", "b", "a"]) rereading.read(id);
  assert.deepEqual(read, []);
  mock.timers.tick(100);
  assert.deepEqual(read, ["a", "b"]);
  rereading.read("a");
  mock.timers.tick(100);
  assert.deepEqual(read, ["a", "b", "a"]);
  mock.timers.reset();
});

test("too many at once are said and not read, and after the end nothing is", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { read, rereading, many } = watched();
  for (let index = 0; index < 20; index += 1) rereading.read(String(index));
  mock.timers.tick(100);
  assert.deepEqual([read.length, many()], [0, 1]);
  rereading.read("late");
  rereading.end();
  mock.timers.tick(100);
  assert.deepEqual(read, []);
  mock.timers.reset();
});
