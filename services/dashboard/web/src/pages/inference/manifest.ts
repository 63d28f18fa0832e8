import type { Manifest } from "../manifest.ts";

export const inference: Manifest = {
  path: "/inference",
  title: "Models",
  nav: { icon: "card", hint: "What runs on the cards, what waits, and what it costs" },
  load: () => import("./Page.svelte"),
};
