import type { Manifest } from "../manifest.ts";

export const memory: Manifest = {
  path: "/memory",
  title: "Memory",
  nav: { icon: "memory", hint: "What the house remembers" },
  load: () => import("./Page.svelte"),
};
