/** What the page of models asks of the house, by name; shapes come from the house's own description of its API. */
import { api, ok, type Schemas } from "./client.ts";

export type Status = Schemas["Status"];
export type Card = Schemas["CardView"];
export type Part = Schemas["Part"];
export type Model = Schemas["ModelView"];
export type Waiting = Schemas["WaitingView"];
export type Lease = Schemas["Lease"];
export type Agent = Schemas["AgentView"];
export type Decision = Schemas["Decision"];
export type Minute = Schemas["CardMinute"];
export type Usage = Schemas["Usage"];
export type UsageRow = Schemas["UsageRow"];
export type BudgetUse = Schemas["BudgetUse"];
export type Order = Schemas["Order"];
export type Verb = Order["verb"];

export const status = () => ok(api.GET("/api/inference/status"));
/** What each card held since then: of every `step` minutes the fullest. */
export const history = async (since: Date, step: number) =>
  (await ok(api.GET("/api/inference/history", { params: { query: { since: Math.floor(since.getTime() / 1000), step, limit: 2000 } } }))).minutes;
export const decisions = async (before: Date | null) =>
  (await ok(api.GET("/api/inference/decisions", { params: { query: { limit: 30, before: before ? Math.ceil(before.getTime() / 1000) : null } } })))
    .decisions;
export const order = (body: Order) => ok(api.POST("/api/inference/orders", { body }));
export const release = (id: string) =>
  ok(api.DELETE("/api/inference/leases/{lease_id}", { params: { path: { lease_id: id } } }));

export type UsageKey = "day" | "caller" | "model" | "way" | "service_class";
export const usage = (since: string, by: readonly UsageKey[]) =>
  ok(api.GET("/api/inference/usage", { params: { query: { since, by: by.join(",") } } }));
export const budgets = () => ok(api.GET("/api/inference/budgets"));
