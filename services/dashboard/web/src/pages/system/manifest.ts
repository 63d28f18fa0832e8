import type { Manifest } from "../manifest.ts";

export const system: Manifest = {
  path: "/system",
  title: "System",
  nav: { icon: "system", hint: "Every container, now" },
  load: () => import("./Page.svelte"),
};
