import createClient from "openapi-fetch";
import { CodedError, codedFrom, traceId } from "../lib/errors.ts";
import { houseFetch } from "../lib/http.ts";
import type { components, paths } from "./schema.d.ts";

export type Schemas = components["schemas"];
export type Memory = Schemas["Memory"];
export type Container = Schemas["ContainerState"];
export type Need = Schemas["Need"];

export const api = createClient<paths>({ baseUrl: location.origin, fetch: houseFetch, credentials: "same-origin" });

/** The data of an answer. Throws CodedError for every other answer. */
export async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  throw new CodedError(codedFrom(response.status, error, traceId(response.headers.get("traceparent"))));
}
