import { backoffMs } from "./backoff.ts";
import { session } from "./session.svelte.ts";

export type Topic = "memory.changed" | "system.state" | "inference.changed";
type Handler = (data: Record<string, unknown>) => void;

/** The server speaks at least every 15 s: silence for longer than this means a dead connection. */
const SILENCE_MS = 40_000;
const TOPICS: Topic[] = ["memory.changed", "system.state", "inference.changed"];

/** The one EventSource of this tab. */
class Events {
  state = $state<"off" | "connecting" | "live" | "broken">("off");
  lastHeard = $state<Date | null>(null);
  private source: EventSource | null = null;
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private handlers = new Map<Topic, Set<Handler>>();

  /** Calls `handler` for each event of `topic` until the returned function is called. */
  on(topic: Topic, handler: Handler): () => void {
    const set = this.handlers.get(topic) ?? new Set();
    this.handlers.set(topic, set.add(handler));
    return () => set.delete(handler);
  }

  start(): void {
    if (this.source) return;
    this.state = this.failures === 0 ? "connecting" : this.state;
    const source = new EventSource("/api/events");
    this.source = source;
    source.addEventListener("hello", () => {
      this.failures = 0;
      this.heard();
      // What happened before the line was up is unknown: everything on the page asks again.
      for (const topic of TOPICS) this.dispatch(topic, { missed: true });
    });
    source.addEventListener("heartbeat", () => this.heard());
    for (const topic of TOPICS) {
      source.addEventListener(topic, (event) => {
        this.heard();
        this.dispatch(topic, JSON.parse((event as MessageEvent<string>).data) as Record<string, unknown>);
      });
    }
    source.addEventListener("session.ended", () => {
      this.stop();
      session.lost();
    });
    source.onerror = () => this.broke();
    this.watch();
  }

  stop(): void {
    clearTimeout(this.retry);
    clearTimeout(this.watchdog);
    this.source?.close();
    this.source = null;
    this.state = "off";
    this.failures = 0;
  }

  /** Tries at once: the person asked, or the network came back. */
  now(): void {
    if (this.state === "off" || this.state === "live") return;
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
    this.start();
  }

  private dispatch(topic: Topic, data: Record<string, unknown>): void {
    for (const handler of this.handlers.get(topic) ?? []) handler(data);
  }

  private heard(): void {
    this.state = "live";
    this.lastHeard = new Date();
    this.watch();
  }

  private watch(): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.broke(), SILENCE_MS);
  }

  private broke(): void {
    // The browser's own reconnecting knows neither backoff nor a lost session.
    this.source?.close();
    this.source = null;
    clearTimeout(this.watchdog);
    this.state = "broken";
    this.failures += 1;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      void session.refresh().then(() => {
        if (session.state !== "out" && this.state !== "off") this.start();
      });
    }, backoffMs(this.failures));
  }
}

export const events = new Events();
addEventListener("online", () => events.now());
