import type { Manifest } from "../manifest.ts";

export const timeline: Manifest = {
  path: "/memory/timeline",
  title: "Timeline",
  within: { path: "/memory", icon: "clock", hint: "Memory, by when it happened" },
  load: () => import("./Page.svelte"),
};
