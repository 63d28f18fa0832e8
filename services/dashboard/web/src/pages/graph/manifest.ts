import type { Manifest } from "../manifest.ts";

export const graph: Manifest = {
  path: "/memory/graph",
  title: "Graph",
  within: { path: "/memory", icon: "graph", hint: "Memory, by who and what it speaks of" },
  load: () => import("./Page.svelte"),
};
