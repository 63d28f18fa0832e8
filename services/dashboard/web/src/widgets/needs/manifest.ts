import type { WidgetManifest } from "../manifest.ts";

export const manifest: WidgetManifest = {
  id: "needs",
  title: "What needs you",
  source: "/api/needs",
  topics: ["system.state", "memory.changed"],
  staleSeconds: 120,
};
