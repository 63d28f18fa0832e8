import type { Memory } from "../../api/client.ts";

/** What this tab itself has changed: every list and panel on the page shows it at once, before the house says so. */
export type News = { put: Memory } | { gone: string } | { again: true };

const listeners = new Set<(news: News) => void>();

/** Calls `listener` with each change until the returned function is called. */
export function onNews(listener: (news: News) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function tell(news: News): void {
  for (const listener of listeners) listener(news);
}

/** `memory` with what is new about it, if the news is about it. */
export function told(memory: Memory, news: News): Memory {
  return "put" in news && news.put.id === memory.id ? news.put : memory;
}
