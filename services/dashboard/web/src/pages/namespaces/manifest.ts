import type { Manifest } from "../manifest.ts";

export const namespaces: Manifest = {
  path: "/memory/namespaces",
  title: "Namespaces",
  within: { path: "/memory", icon: "folder", hint: "Memory kept apart, and who shares it" },
  load: () => import("./Page.svelte"),
};
