/** What the memory pages ask of the house, by name; shapes come from the house's own description of its API. */
import { houseFetch, toError } from "../lib/http.ts";
import { api, ok, type Memory, type Schemas } from "./client.ts";

export type Tier = Memory["tier"];
export type Level = Schemas["Level"];
export type Recalled = Schemas["Recalled"];
export type Understood = Schemas["Understood"];
export type Namespace = Schemas["Namespace"];
export type Timeline = Schemas["Timeline"];
export type Identity = Schemas["Identity"];

export type Node = Schemas["GraphNode"];
export type Edge = Schemas["GraphEdge"];
export type Graph = Schemas["Graph"];
export type Entity = Schemas["Entity"];
export type EntityView = Schemas["EntityView"];
export type EntityKind = Entity["kind"];
// As the client reads them: it knows a pair only as a list.
export type Fact = Awaited<ReturnType<typeof facts>>["items"][number];
export type Provenance = Awaited<ReturnType<typeof provenance>>;

export type LevelState = Schemas["LevelState"];
export type Consolidation = Schemas["Consolidation"];
export type Move = Schemas["JournalEntry"];
export type Proof = Schemas["ForgetReport"];
export type ForgetWhat = Schemas["ForgetRequest"];
export type ImportReport = Schemas["ImportReport"];

const memory = (id: string) => ({ params: { path: { memory_id: id } } });
const query = (params: Record<string, string | number | boolean | null | undefined>): string => {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length > 0 ? `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}` : "";
};

export const read = (id: string) => ok(api.GET("/api/memories/{memory_id}", memory(id)));
export const provenance = (id: string) => ok(api.GET("/api/memories/{memory_id}/provenance", memory(id)));
export const supersede = (id: string, body: { by: string } | { text: string }) =>
  ok(
    api.POST("/api/memories/{memory_id}/supersede", {
      ...memory(id),
      body: { ...body, source: { kind: "dashboard" } },
    }),
  );
export const restore = (id: string) => ok(api.POST("/api/memories/{memory_id}/restore", memory(id)));
export const merge = (id: string, other: string) =>
  ok(api.POST("/api/memories/{memory_id}/merge", { ...memory(id), body: { other } }));
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

const named = (id: string) => ({ params: { path: { entity_id: id } } });

export const graph = (entity: string, depth: number, as_of: string | null, limit: number) =>
  ok(api.GET("/api/memory/graph", { params: { query: { entity, depth, as_of, limit } } }));
export const entities = (text: string, limit = 20) =>
  ok(api.GET("/api/memory/entities", { params: { query: { limit, ...(text ? { query: text } : {}) } } }));
export const entity = (id: string) => ok(api.GET("/api/memory/entities/{entity_id}", named(id)));
export const facts = (entity: string, as_of: string | null) =>
  ok(api.GET("/api/memory/facts", { params: { query: { entity, as_of, superseded: true, limit: 100 } } }));
export const retireFact = (id: string) => ok(api.DELETE("/api/memory/facts/{fact_id}", { params: { path: { fact_id: id } } }));
export const restoreFact = (id: string) =>
  ok(api.POST("/api/memory/facts/{fact_id}/restore", { params: { path: { fact_id: id } } }));
export const patchEntity = (id: string, body: Schemas["EntityEdit"]) =>
  ok(api.PATCH("/api/memory/entities/{entity_id}", { ...named(id), body }));
export const mergeEntity = (id: string, other: string) =>
  ok(api.POST("/api/memory/entities/{entity_id}/merge", { ...named(id), body: { other } }));
export const splitEntity = (id: string, body: Schemas["EntitySplit"]) =>
  ok(api.POST("/api/memory/entities/{entity_id}/split", { ...named(id), body }));

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
