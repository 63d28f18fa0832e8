import type { Manifest } from "../manifest.ts";

export const invite: Manifest = {
  path: "/invite",
  title: "Invitation",
  open: true,
  load: () => import("./Page.svelte"),
};
