/** A failure as the house tells it: a code to look up, what happened, and what to do. */
export type Coded = { code: string; reason: string; fix: string; correlationId: string; status: number };

export class CodedError extends Error {
  readonly coded: Coded;
  constructor(coded: Coded) {
    super(coded.reason);
    this.name = "CodedError";
    this.coded = coded;
  }
}

const OFFLINE: Coded = {
  code: "browser.offline",
  reason: "The house did not answer.",
  fix: "Check that this device is on your network, then try again.",
  correlationId: "",
  status: 0,
};

const BY_STATUS: Record<number, [string, string]> = {
  401: ["You are signed out.", "Sign in again."],
  403: ["That is not allowed here.", "Reload the page and try again."],
  404: ["It is not there any more.", "Reload the page."],
  409: ["Something changed in the meantime.", "Reload the page and try again."],
  413: ["That is too large.", "Make it shorter."],
  429: ["Too many tries in a short time.", "Wait a minute, then try again."],
};

type Body = { error?: Partial<Record<"code" | "reason" | "fix" | "correlation_id", unknown>>; errors?: unknown };

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Reads any error body that the house may send: coded, a sign-in library's list, or none at all. */
export function codedFrom(status: number, body: unknown, correlationId = ""): Coded {
  const [reason, fix] = BY_STATUS[status] ?? ["Something went wrong.", "Try again in a moment."];
  const known = (typeof body === "object" && body !== null ? body : {}) as Body;
  const coded = known.error;
  if (coded && typeof coded === "object") {
    return {
      code: text(coded.code) || `http.${status}`,
      reason: text(coded.reason) || reason,
      fix: text(coded.fix) || fix,
      correlationId: text(coded.correlation_id) || correlationId,
      status,
    };
  }
  if (Array.isArray(known.errors) && known.errors.length > 0) {
    const first = known.errors[0] as { message?: unknown; code?: unknown };
    return {
      code: `identity.${text(first.code) || "refused"}`,
      reason: text(first.message) || reason,
      fix: "Correct it and try again.",
      correlationId,
      status,
    };
  }
  return { code: `http.${status}`, reason, fix, correlationId, status };
}

/** Whatever was thrown, as something a person can act on. */
export function codedOf(error: unknown): Coded {
  if (error instanceof CodedError) return error.coded;
  if (error instanceof DOMException && error.name === "NotAllowedError") {
    return {
      code: "browser.passkey_cancelled",
      reason: "The passkey was not used: it was cancelled or timed out.",
      fix: "Try again, or use your password.",
      correlationId: "",
      status: 0,
    };
  }
  if (error instanceof TypeError) return OFFLINE;
  const message = error instanceof Error ? error.message : String(error);
  return { code: "browser.unexpected", reason: message, fix: "Reload the page.", correlationId: "", status: 0 };
}

/** The trace id within a `traceparent` header, which is the correlation id. */
export function traceId(header: string | null): string {
  return header?.match(/^00-([0-9a-f]{32})-/)?.[1] ?? "";
}
