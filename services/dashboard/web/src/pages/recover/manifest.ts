import type { Manifest } from "../manifest.ts";

export const recover: Manifest = {
  path: "/recover",
  title: "A new password",
  open: true,
  load: () => import("./Page.svelte"),
};
