import type { Manifest } from "../manifest.ts";

export const ask: Manifest = {
  path: "/",
  title: "Ask",
  nav: { icon: "ask", hint: "Talk with the house" },
  load: () => import("./Page.svelte"),
};
