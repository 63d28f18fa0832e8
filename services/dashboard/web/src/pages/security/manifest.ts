import type { Manifest } from "../manifest.ts";

export const security: Manifest = {
  path: "/security",
  title: "Security",
  nav: { icon: "security", hint: "Keys, sessions, tokens" },
  load: () => import("./Page.svelte"),
};
