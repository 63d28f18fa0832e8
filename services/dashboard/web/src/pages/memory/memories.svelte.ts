import { api, ok, type Memory, type Schemas } from "../../api/client.ts";
import { codedOf, type Coded } from "../../lib/errors.ts";
import type { TierId } from "../../lib/tiers.ts";
import { toasts } from "../../lib/toasts.svelte.ts";

export type Found = { memory: Memory; score: number | null; reasons: Schemas["Reason"][] };
export type TierFilter = TierId | "";

const PAGE = 30;

/** The list on the Memory page: everything newest first, or what a search found, best first. */
export class Memories {
  found = $state<Found[]>([]);
  more = $state<string | null>(null);
  degraded = $state(false);
  loading = $state(true);
  error = $state<Coded | null>(null);
  /** What the list answers to, for a search that is overtaken by the next one. */
  private turn = 0;

  async load(query: string, tier: TierFilter): Promise<void> {
    const turn = ++this.turn;
    this.loading = true;
    try {
      const next = query ? await this.search(query, tier) : await this.page(tier, null);
      if (turn !== this.turn) return;
      this.found = next.found;
      this.more = next.more;
      this.degraded = next.degraded;
      this.error = null;
    } catch (error) {
      if (turn === this.turn) this.error = codedOf(error);
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  async loadMore(tier: TierFilter): Promise<void> {
    if (!this.more) return;
    try {
      const next = await this.page(tier, this.more);
      this.found = [...this.found, ...next.found];
      this.more = next.more;
    } catch (error) {
      toasts.fail(error);
    }
  }

  private async search(query: string, tier: TierFilter) {
    const body = { query, limit: PAGE, ...(tier ? { tiers: [tier] } : {}) };
    const reply = await ok(api.POST("/api/recall", { body }));
    return { found: reply.results, more: null, degraded: (reply.degraded ?? null) !== null };
  }

  private async page(tier: TierFilter, cursor: string | null) {
    const query = { limit: PAGE, ...(tier ? { tier } : {}), ...(cursor ? { cursor } : {}) };
    const reply = await ok(api.GET("/api/memories", { params: { query } }));
    const found = reply.items.map((memory) => ({ memory, score: null, reasons: [] }));
    return { found, more: reply.next_cursor ?? null, degraded: false };
  }

  /** Adds a memory. The same key twice adds it once. Throws CodedError. */
  async add(text: string, tier: TierId, key: string): Promise<void> {
    const memory = await ok(
      api.POST("/api/memories", {
        params: { header: { "Idempotency-Key": key } },
        body: { text, tier, source: { kind: "dashboard" } },
      }),
    );
    this.found = [{ memory, score: null, reasons: [] }, ...this.found.filter((entry) => entry.memory.id !== memory.id)];
  }

  /** Shows a change at once, keeps it if the house agrees, and offers to take it back. */
  async change(memory: Memory, change: { text?: string; tier?: TierId }): Promise<void> {
    const before = { text: memory.text, tier: memory.tier };
    this.put({ ...memory, ...change });
    try {
      this.put(await this.patch(memory.id, change));
      toasts.say(change.tier ? "Tier changed." : "Memory changed.", () => void this.undo(memory, before));
    } catch (error) {
      this.put(memory);
      toasts.fail(error);
    }
  }

  private async undo(memory: Memory, before: { text: string; tier: TierId }): Promise<void> {
    try {
      this.put(await this.patch(memory.id, before));
    } catch (error) {
      toasts.fail(error);
    }
  }

  private patch(id: string, body: { text?: string; tier?: TierId }): Promise<Memory> {
    return ok(api.PATCH("/api/memories/{memory_id}", { params: { path: { memory_id: id } }, body }));
  }

  async forget(id: string): Promise<boolean> {
    try {
      await ok(api.DELETE("/api/memories/{memory_id}", { params: { path: { memory_id: id } } }));
      this.found = this.found.filter((entry) => entry.memory.id !== id);
      toasts.say("Forgotten, everywhere in the house.");
      return true;
    } catch (error) {
      toasts.fail(error);
      return false;
    }
  }

  private put(memory: Memory): void {
    const entry = this.found.find((candidate) => candidate.memory.id === memory.id);
    if (entry) entry.memory = memory;
  }
}
