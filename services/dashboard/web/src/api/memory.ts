/** What the memory pages ask of the house, by name; shapes come from the house's own description of its API. */
import { houseFetch, identity as call, toError } from "../lib/http.ts";
import { api, ok, type Memory, type Schemas } from "./client.ts";

export type Tier = Memory["tier"];
export type Level = Schemas["Level"];
export type Recalled = Schemas["Recalled"];
export type Understood = Schemas["Understood"];
export type Namespace = Schemas["Namespace"];
export type Timeline = Schemas["Timeline"];
export type Identity = Schemas["Identity"];

export type Node = { id: string; name: string; kind: string; mentions: number };
export type Edge = {
  from: string;
  to: string;
  predicate: string;
  fact_id: string;
  valid_from: string | null;
  valid_to: string | null;
  current: boolean;
};
export type Graph = { nodes: Node[]; edges: Edge[]; truncated: boolean };
export type Entity = { id: string; name: string; kind: string; mentions: number; aliases: string[] };
export type EntityPage = { items: Entity[]; next_cursor: string | null };
export type Fact = {
  id: string;
  memory_id: string;
  subject: { id: string; name: string };
  predicate: string;
  object: { text: string; entity_id: string | null };
  polarity: boolean;
  valid_from: string | null;
  valid_to: string | null;
  learned_at: string;
  superseded_by: string | null;
  current: boolean;
};
export type FactPage = { items: Fact[]; next_cursor: string | null };

export type LevelState = Schemas["LevelState"];
export type Consolidation = Schemas["Consolidation"];
export type Move = Schemas["JournalEntry"];
export type Proof = Schemas["ForgetReport"];
export type ForgetWhat = Schemas["ForgetRequest"];
export type ImportReport = Schemas["ImportReport"];

export type SourceRow = {
  source: Schemas["Source"];
  thread: string | null;
  speaker: string | null;
  text: string | null;
  occurred_at: string | null;
  learned_at: string;
};
export type Provenance = {
  memory: Memory;
  sources: SourceRow[];
  supersedes: Memory[];
  superseded_by: Memory | null;
  summarises: Memory[];
  summarised_by: Memory[];
  facts: Fact[];
  entities: Entity[];
};
const memory = (id: string) => ({ params: { path: { memory_id: id } } });
const query = (params: Record<string, string | number | boolean | null | undefined>): string => {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length > 0 ? `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}` : "";
};

export const read = (id: string) => ok(api.GET("/api/memories/{memory_id}", memory(id)));
export const provenance = (id: string) => call<Provenance>("GET", `/api/memories/${id}/provenance`);
export const supersede = (id: string, body: object) => call<Memory>("POST", `/api/memories/${id}/supersede`, { body });
export const restore = (id: string) => call<Memory>("POST", `/api/memories/${id}/restore`);
export const merge = (id: string, other: string) => call<Memory>("POST", `/api/memories/${id}/merge`, { body: { other } });
export const forget = (id: string) => ok(api.DELETE("/api/memories/{memory_id}", memory(id)));
export const forgetAll = (body: ForgetWhat) => ok(api.POST("/api/memory/forget", { body }));
export const forgotten = (id: string) =>
  ok(api.GET("/api/memory/forgotten/{report_id}", { params: { path: { report_id: id } } }));

export const namespaces = async () => (await ok(api.GET("/api/memory/namespaces"))).items;
export const putNamespace = (name: string, body: Schemas["NamespaceRequest"]) =>
  ok(api.PUT("/api/memory/namespaces/{name}", { params: { path: { name } }, body }));
export const deleteNamespace = (name: string) =>
  ok(api.DELETE("/api/memory/namespaces/{name}", { params: { path: { name } } }));

export const timeline = (bucket: "day" | "week" | "month", since: Date, until: Date) =>
  ok(
    api.GET("/api/memory/timeline", {
      params: { query: { bucket, since: since.toISOString(), until: until.toISOString() } },
    }),
  );
export const identity = () => ok(api.GET("/api/memory/identity"));

export const levels = async () => (await ok(api.GET("/api/memory/levels"))).items;
export const consolidation = () => ok(api.GET("/api/memory/consolidation"));
export const switchConsolidation = (enabled: boolean) => ok(api.PUT("/api/memory/consolidation", { body: { enabled } }));
export const runConsolidation = (dry_run: boolean) => ok(api.POST("/api/memory/consolidation/run", { body: { dry_run } }));
export const journal = (before: string | null) =>
  ok(api.GET("/api/memory/consolidation/journal", { params: { query: { limit: 30, before } } }));

export const graph = (entity: string, depth: number, asOf: string | null, limit: number) =>
  call<Graph>("GET", `/api/memory/graph${query({ entity, depth, as_of: asOf, limit })}`);
export const entities = (text: string, kind = "", cursor: string | null = null, limit = 20) =>
  call<EntityPage>("GET", `/api/memory/entities${query({ query: text, kind, cursor, limit })}`);
export const entity = (id: string) => call<Entity>("GET", `/api/memory/entities/${id}`);
export const facts = (id: string, asOf: string | null, cursor: string | null = null) =>
  call<FactPage>("GET", `/api/memory/facts${query({ entity: id, as_of: asOf, superseded: true, cursor, limit: 50 })}`);
export const patchEntity = (id: string, body: { name?: string; kind?: string }) =>
  call<Entity>("PATCH", `/api/memory/entities/${id}`, { body });
export const mergeEntity = (id: string, other: string) =>
  call<Entity>("POST", `/api/memory/entities/${id}/merge`, { body: { other } });
export const splitEntity = (id: string, body: { name: string; aliases?: string[]; memories?: string[] }) =>
  call<Entity>("POST", `/api/memory/entities/${id}/split`, { body });

export type ExportFormat = "markdown" | "jsonl";
export const exportPath = (format: ExportFormat, tiers: readonly string[], namespace: string): string =>
  `/api/memory/export${query({ format, tiers: tiers.join(","), namespaces: namespace })}`;

/** Whether a download would begin: a refusal belongs on the page and not into a file. Throws CodedError. */
export async function downloadable(path: string): Promise<void> {
  const stop = new AbortController();
  const response = await houseFetch(new Request(path, { signal: stop.signal }));
  if (!response.ok) throw await toError(response);
  // The headers were the answer; the download itself is the browser's.
  stop.abort();
}

export type ImportSwitches = { dry_run: boolean; delete: boolean; resurrect: boolean };

/** Sends a file as it is. Throws CodedError. */
export async function importFile(file: Blob, type: string, switches: ImportSwitches): Promise<ImportReport> {
  const headers = { "Content-Type": type, Accept: "application/json" };
  const request = new Request(`/api/memory/import${query(switches)}`, { method: "POST", body: file, headers });
  const response = await houseFetch(request);
  if (!response.ok) throw await toError(response);
  return (await response.json()) as ImportReport;
}
