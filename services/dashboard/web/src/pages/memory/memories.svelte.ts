import { api, ok, type Memory, type Schemas } from "../../api/client.ts";
import { codedOf, type Coded } from "../../lib/errors.ts";
import { toasts } from "../../lib/toasts.svelte.ts";
import { listQuery, recallBody, searches, type Filters } from "./filters.ts";
import type { News } from "./news.ts";

export type Found = { memory: Memory; score: number | null; reasons: readonly Schemas["Reason"][] };

const PAGE = 30;

/** A list of memories: everything newest first, or what a search found, best first. */
export class Memories {
  found = $state<Found[]>([]);
  more = $state<string | null>(null);
  degraded = $state(false);
  understood = $state<Schemas["Understood"] | null>(null);
  loading = $state(true);
  error = $state<Coded | null>(null);
  /** What the list answers to, for a search that is overtaken by the next one. */
  private turn = 0;

  async load(filters: Filters): Promise<void> {
    const turn = ++this.turn;
    this.loading = true;
    try {
      const next = searches(filters) ? await this.search(filters) : await this.page(filters, null);
      if (turn !== this.turn) return;
      this.found = next.found;
      this.more = next.more;
      this.degraded = next.degraded;
      this.understood = next.understood;
      this.error = null;
    } catch (error) {
      if (turn === this.turn) this.error = codedOf(error);
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  async loadMore(filters: Filters): Promise<void> {
    const { turn, more } = this;
    if (!more) return;
    try {
      const next = await this.page(filters, more);
      if (turn !== this.turn) return;
      const known = new Set(this.found.map((entry) => entry.memory.id));
      this.found = [...this.found, ...next.found.filter((entry) => !known.has(entry.memory.id))];
      this.more = next.more;
    } catch (error) {
      toasts.fail(error);
    }
  }

  private async search(filters: Filters) {
    const reply = await ok(api.POST("/api/recall", { body: recallBody(filters, PAGE) }));
    const degraded = (reply.degraded ?? null) !== null;
    return { found: reply.results as Found[], more: null, degraded, understood: reply.understood ?? null };
  }

  private async page(filters: Filters, cursor: string | null) {
    const query = listQuery(filters, PAGE, cursor);
    const reply = await ok(api.GET("/api/memories", { params: { query } }));
    const found = reply.items.map((memory) => ({ memory, score: null, reasons: [] }));
    return { found, more: reply.next_cursor ?? null, degraded: false, understood: null };
  }

  /** Adds a memory. The same key twice adds it once. Throws CodedError. */
  async add(body: Schemas["RememberRequest"], key: string): Promise<Memory> {
    const params = { header: { "Idempotency-Key": key } };
    const memory = await ok(api.POST("/api/memories", { params, body }));
    this.found = [{ memory, score: null, reasons: [] }, ...this.found.filter((entry) => entry.memory.id !== memory.id)];
    return memory;
  }

  find(id: unknown): Found | undefined {
    return this.found.find((entry) => entry.memory.id === id);
  }

  /** Shows what this tab itself has changed. */
  heard(news: News): void {
    if ("gone" in news) this.found = this.found.filter((entry) => entry.memory.id !== news.gone);
    if (!("put" in news)) return;
    const entry = this.find(news.put.id);
    if (entry) entry.memory = news.put;
  }
}
