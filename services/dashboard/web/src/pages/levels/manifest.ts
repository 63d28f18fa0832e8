import type { Manifest } from "../manifest.ts";

export const levels: Manifest = {
  path: "/memory/levels",
  title: "Levels",
  within: { path: "/memory", icon: "levels", hint: "Memory, how long it stays, and what moved" },
  load: () => import("./Page.svelte"),
};
