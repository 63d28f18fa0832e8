// The budgets of the dashboard, in bytes of gzip: what every page loads, what each route adds, what a route fetches
// later for a canvas, and all styles.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const KB = 1024;
const LIMITS = { shell: 70 * KB, route: 40 * KB, canvas: 45 * KB, css: 20 * KB };

const manifest = JSON.parse(readFileSync("dist/.vite/manifest.json", "utf8"));
const zipped = (file) => gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length;

/** Every chunk that loading `key` loads at once. */
function closure(key, seen = new Set()) {
  if (seen.has(key)) return seen;
  seen.add(key);
  for (const next of manifest[key].imports ?? []) closure(next, seen);
  return seen;
}

const weigh = (keys) => {
  const files = [...keys].map((key) => manifest[key]);
  const styles = new Set(files.flatMap((file) => file.css ?? []));
  return {
    script: files.reduce((sum, file) => sum + zipped(file.file), 0),
    css: [...styles].reduce((sum, file) => sum + zipped(file), 0),
  };
};

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const shell = closure(entry);
const rows = [["shell", weigh(shell).script, LIMITS.shell]];
const named = (key) => key.replace("src/pages/", "").replace("/Page.svelte", "").replace(/\.ts$/, "");
for (const key of manifest[entry].dynamicImports ?? []) {
  const own = new Set([...closure(key)].filter((chunk) => !shell.has(chunk)));
  rows.push([named(key), weigh(own).script, LIMITS.route]);
  const later = [...own].flatMap((chunk) => manifest[chunk].dynamicImports ?? []);
  for (const canvas of new Set(later)) {
    const added = [...closure(canvas)].filter((chunk) => !shell.has(chunk) && !own.has(chunk));
    rows.push([named(canvas), weigh(added).script, LIMITS.canvas]);
  }
}
rows.push(["css, all of it", weigh(Object.keys(manifest)).css, LIMITS.css]);

let over = 0;
for (const [name, bytes, limit] of rows) {
  const bad = bytes > limit;
  over += bad ? 1 : 0;
  console.log(`${bad ? "OVER " : "ok   "} ${name.padEnd(16)} ${(bytes / KB).toFixed(1).padStart(6)} of ${limit / KB} KB`);
}
process.exit(over ? 1 : 0);
