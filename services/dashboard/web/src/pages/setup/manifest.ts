import type { Manifest } from "../manifest.ts";

export const setup: Manifest = {
  path: "/setup",
  title: "First owner",
  open: true,
  load: () => import("./Page.svelte"),
};
