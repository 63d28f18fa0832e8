import type { Manifest } from "../manifest.ts";

export const transfer: Manifest = {
  path: "/memory/transfer",
  title: "Export and import",
  within: { path: "/memory", icon: "transfer", hint: "Memory as files, out and in" },
  load: () => import("./Page.svelte"),
};
