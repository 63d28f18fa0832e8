import { CodedError, codedFrom, traceId } from "./errors.ts";

/** Asks the person to prove who they are again. Answers false when they close the dialog. */
export type Prove = (code: string) => Promise<boolean>;

const hooks: { prove: Prove; lost: () => void } = { prove: async () => false, lost: () => undefined };

/** Wired once, by the shell. */
export function onAuthentication(given: typeof hooks): void {
  Object.assign(hooks, given);
}

const PROOF = new Set(["identity.reauthentication_required", "edge.step_up_required"]);
const PENDING = new Set(["identity.second_factor_pending"]);

export function csrfToken(cookies: string): string {
  return /(?:^|;\s*)csrftoken=([^;]+)/.exec(cookies)?.[1] ?? "";
}

function prepared(request: Request): Request {
  if (request.method !== "GET") {
    // Read for each request: the token changes at sign-in.
    request.headers.set("X-CSRFToken", csrfToken(document.cookie));
  }
  return request;
}

export async function toError(response: Response): Promise<CodedError> {
  const body: unknown = await response.json().catch(() => null);
  return new CodedError(codedFrom(response.status, body, traceId(response.headers.get("traceparent"))));
}

/**
 * Fetches from the house. When it wants a fresh proof of identity, the person is asked for it and the
 * request is repeated once; when nobody is signed in any more, the shell is told.
 */
export async function houseFetch(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await fetch(prepared(request));
  if (response.status !== 401) return response;
  const error = await toError(response.clone());
  const { code } = error.coded;
  if (PROOF.has(code)) {
    if (await hooks.prove(code)) return fetch(prepared(again));
    throw error;
  }
  if (!PENDING.has(code)) hooks.lost();
  return response;
}

type Options = {
  body?: unknown;
  signal?: AbortSignal;
  /** Signing in and out: a 401 there is an answer and not a lost session. */
  signIn?: boolean;
};

/** JSON to and from identity, whose API is described in its README. Throws CodedError. */
export async function identity<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const request = new Request(path, {
    method,
    headers: { Accept: "application/json", ...(options.body === undefined ? {} : { "Content-Type": "application/json" }) },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    ...(options.signal ? { signal: options.signal } : {}),
    credentials: "same-origin",
  });
  const response = options.signIn ? await fetch(prepared(request)) : await houseFetch(request);
  if (!response.ok) throw await toError(response);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}
