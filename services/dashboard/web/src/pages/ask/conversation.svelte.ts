import { api, ok, type Schemas } from "../../api/client.ts";
import { codedOf, type Coded } from "../../lib/errors.ts";
import { houseFetch, toError } from "../../lib/http.ts";
import { readEvents } from "../../lib/sse.ts";
import { toasts } from "../../lib/toasts.svelte.ts";
import { apply, asked, ended, failed, isUnderWay, kept, type TurnView } from "./turn.ts";

const POLL_MS = 2000;
/** A stop that is not confirmed within this time is enforced by hanging up. */
const STOP_MS = 4000;

/** One conversation, as far as this tab knows it. */
export class Conversation {
  id = $state<string | null>(null);
  title = $state("");
  turns = $state<TurnView[]>([]);
  loading = $state(false);
  error = $state<Coded | null>(null);
  stopping = $state(false);
  private abort: AbortController | null = null;
  /** Called once, when the house has given a new conversation its id. */
  private readonly named: (conversation: Conversation) => void;

  constructor(id: string | null, named: (conversation: Conversation) => void) {
    this.id = id;
    this.named = named;
  }

  get underWay(): boolean {
    const last = this.turns.at(-1);
    return last !== undefined && isUnderWay(last);
  }

  async load(): Promise<void> {
    if (this.id === null || this.underWay) return;
    this.loading = this.turns.length === 0 && this.error === null;
    try {
      const detail = await ok(
        api.GET("/api/conversations/{conversation_id}", { params: { path: { conversation_id: this.id } } }),
      );
      this.title = detail.conversation.title;
      this.turns = detail.turns.map(kept);
      this.error = null;
      if (this.underWay) this.waitElsewhere();
    } catch (error) {
      this.error = codedOf(error);
    } finally {
      this.loading = false;
    }
  }

  /** The answer is being given to another tab, or the page was loaded again in its midst: look until it is there. */
  private waitElsewhere(): void {
    setTimeout(() => {
      const last = this.turns.at(-1);
      if (this.abort || !last || !isUnderWay(last)) return;
      last.status = "done";
      void this.load();
    }, POLL_MS);
  }

  async ask(text: string): Promise<void> {
    if (this.underWay) return;
    this.turns.push(asked(text, new Date()));
    // Through the array, so that what the stream changes is seen by the page.
    const turn = this.turns.at(-1) as TurnView;
    this.abort = new AbortController();
    this.stopping = false;
    try {
      await this.stream(turn, text, this.abort.signal);
      ended(turn);
    } catch (error) {
      if (this.abort.signal.aborted) turn.status = "stopped";
      else failed(turn, codedOf(error));
    } finally {
      this.abort = null;
      this.stopping = false;
    }
  }

  private async stream(turn: TurnView, text: string, signal: AbortSignal): Promise<void> {
    const body: Schemas["TurnRequest"] = { text, ...(this.id ? { conversation_id: this.id } : {}) };
    const response = await houseFetch(
      new Request("/api/turns", {
        method: "POST",
        // The same key would join the same turn: a request that the network repeats acts once.
        headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
        body: JSON.stringify(body),
        signal,
        credentials: "same-origin",
      }),
    );
    if (!response.ok) throw await toError(response);
    if (!response.body) return;
    for await (const event of readEvents(response.body)) {
      apply(turn, event.event, event.data);
      if (event.event === "turn.accepted" && this.id === null) {
        this.id = (JSON.parse(event.data) as Schemas["TurnAccepted"]).conversation_id;
        this.title = text;
        this.named(this);
      }
    }
  }

  async stop(): Promise<void> {
    const turn = this.turns.at(-1);
    const abort = this.abort;
    if (!turn || !abort || this.stopping) return;
    this.stopping = true;
    if (turn.id === null) {
      abort.abort();
      return;
    }
    setTimeout(() => abort.abort(), STOP_MS);
    try {
      await ok(api.POST("/api/turns/{turn_id}/stop", { params: { path: { turn_id: turn.id } } }));
    } catch {
      abort.abort();
    }
  }

  async decide(turn: TurnView, decision: "approve" | "deny"): Promise<void> {
    const waiting = turn.confirmation;
    if (!waiting || waiting.decision) return;
    waiting.decision = decision;
    try {
      const outcome = await ok(
        api.POST("/api/confirmations/{confirmation_id}", {
          params: { path: { confirmation_id: waiting.confirmation_id } },
          body: { decision },
        }),
      );
      waiting.outcome = outcome.answer;
      turn.status = "done";
    } catch (error) {
      delete waiting.decision;
      toasts.fail(error);
    }
  }
}

/** The conversations of this tab: an answer goes on while the person looks at another page. */
class Conversations {
  current = $state.raw(new Conversation(null, (named) => this.onNamed(named)));
  list = $state<Schemas["Conversation"][]>([]);
  more = $state<string | null>(null);
  error = $state<Coded | null>(null);
  loaded = $state(false);
  private underWay = new Map<string, Conversation>();

  /** Shows the conversation of this id, or a new one. */
  show(id: string | null): void {
    if (this.current.id === id && (id !== null || this.current.turns.length === 0)) {
      if (id !== null && this.current.turns.length === 0) void this.current.load();
      return;
    }
    const running = id === null ? undefined : this.underWay.get(id);
    this.current = running ?? new Conversation(id, (named) => this.onNamed(named));
    void this.current.load();
  }

  async ask(text: string): Promise<void> {
    const conversation = this.current;
    if (conversation.id) this.underWay.set(conversation.id, conversation);
    await conversation.ask(text);
    if (conversation.id) this.underWay.delete(conversation.id);
    void this.refresh();
  }

  private onNamed(conversation: Conversation): void {
    if (conversation.id) this.underWay.set(conversation.id, conversation);
    if (conversation === this.current) this.followed(conversation.id as string);
    void this.refresh();
  }

  /** Set by the page: the address follows a new conversation as soon as it has an id. */
  followed: (id: string) => void = () => undefined;

  async refresh(): Promise<void> {
    try {
      const page = await ok(api.GET("/api/conversations", { params: { query: { limit: 30 } } }));
      this.list = page.conversations;
      this.more = page.next_cursor ?? null;
      this.error = null;
    } catch (error) {
      this.error = codedOf(error);
    } finally {
      this.loaded = true;
    }
  }

  async loadMore(): Promise<void> {
    if (!this.more) return;
    try {
      const page = await ok(api.GET("/api/conversations", { params: { query: { limit: 30, cursor: this.more } } }));
      this.list = [...this.list, ...page.conversations];
      this.more = page.next_cursor ?? null;
    } catch (error) {
      toasts.fail(error);
    }
  }

  async rename(id: string, title: string): Promise<void> {
    const entry = this.list.find((candidate) => candidate.id === id);
    const before = entry?.title ?? "";
    if (entry) entry.title = title;
    try {
      await ok(
        api.PATCH("/api/conversations/{conversation_id}", { params: { path: { conversation_id: id } }, body: { title } }),
      );
      if (this.current.id === id) this.current.title = title;
    } catch (error) {
      if (entry) entry.title = before;
      toasts.fail(error);
    }
  }

  async remove(id: string): Promise<boolean> {
    try {
      await ok(api.DELETE("/api/conversations/{conversation_id}", { params: { path: { conversation_id: id } } }));
      this.list = this.list.filter((candidate) => candidate.id !== id);
      return true;
    } catch (error) {
      toasts.fail(error);
      return false;
    }
  }
}

export const conversations = new Conversations();
