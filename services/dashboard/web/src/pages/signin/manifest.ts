import type { Manifest } from "../manifest.ts";

export const signin: Manifest = {
  path: "/signin",
  title: "Sign in",
  open: true,
  load: () => import("./Page.svelte"),
};
