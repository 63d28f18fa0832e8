import type { WidgetManifest } from "../manifest.ts";

export const manifest: WidgetManifest = {
  id: "containers",
  title: "Containers",
  source: "the engine",
  topics: ["system.state"],
  staleSeconds: 45,
};
