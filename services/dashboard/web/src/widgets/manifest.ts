import type { Topic } from "../lib/events.svelte.ts";

/** What a widget shows, where from, and which events make it ask again. One folder per widget. */
export type WidgetManifest = { id: string; title: string; source: string; topics: readonly Topic[]; staleSeconds: number };
