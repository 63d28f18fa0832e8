import type { Schemas } from "../../api/client.ts";
import type { Coded } from "../../lib/errors.ts";

export type Source = Schemas["TurnSource"];
export type Confirmation = Schemas["ConfirmationRequired"] & {
  decision?: "approve" | "deny";
  outcome?: string;
};
export type TurnStatus = "sending" | Schemas["Turn"]["status"];

/** One question and its answer, as the page shows it. */
export type TurnView = {
  id: string | null;
  question: string;
  answer: string;
  askedAt: Date;
  status: TurnStatus;
  stages: { name: string; detail: string }[];
  sources: Source[];
  confirmation: Confirmation | null;
  error: Coded | null;
  correlationId: string;
};

/** More stages than any turn has; a stream that says more is not believed. */
const STAGES_MAX = 50;

export function asked(question: string, now: Date): TurnView {
  return {
    id: null,
    question,
    answer: "",
    askedAt: now,
    status: "sending",
    stages: [],
    sources: [],
    confirmation: null,
    error: null,
    correlationId: "",
  };
}

/** A turn as the house kept it. */
export function kept(turn: Schemas["Turn"]): TurnView {
  return {
    id: turn.id,
    question: turn.text,
    answer: turn.answer,
    askedAt: new Date(turn.created_at),
    status: turn.status,
    stages: [],
    sources: [...(turn.sources ?? [])],
    confirmation: turn.confirmation ?? null,
    error: turn.error ? coded(turn.error) : null,
    correlationId: turn.correlation_id,
  };
}

const coded = (error: Schemas["TurnError"]): Coded => ({
  code: error.code,
  reason: error.reason,
  fix: error.fix,
  correlationId: error.correlation_id ?? "",
  status: 0,
});

/** Changes `turn` as one event of its stream tells. Unknown events are passed over: newer houses may say more. */
export function apply(turn: TurnView, event: string, data: string): void {
  const body = JSON.parse(data) as never;
  if (event === "turn.accepted") accepted(turn, body);
  else if (event === "stage") {
    if (turn.stages.length < STAGES_MAX) turn.stages.push(body);
  } else if (event === "sources") turn.sources = body;
  else if (event === "delta") turn.answer += (body as Schemas["Delta"]).text;
  else if (event === "confirmation_required") turn.confirmation = body;
  else if (event === "turn.finished") turn.status = (body as Schemas["TurnFinished"]).status;
  else if (event === "error") failed(turn, coded(body));
}

function accepted(turn: TurnView, body: Schemas["TurnAccepted"]): void {
  turn.id = body.turn_id;
  turn.correlationId = body.correlation_id;
  turn.status = "running";
}

export function failed(turn: TurnView, error: Coded): void {
  turn.error = error;
  turn.status = "failed";
  turn.correlationId ||= error.correlationId;
}

/** A stream that ended without saying how: the connection broke, so the answer may be only a part. */
export function ended(turn: TurnView): void {
  if (turn.status !== "sending" && turn.status !== "running") return;
  failed(turn, {
    code: "browser.answer_lost",
    reason: "The connection broke before the answer was complete.",
    fix: "Open the conversation again to see what the house kept, or ask again.",
    correlationId: turn.correlationId,
    status: 0,
  });
}

export const isUnderWay = (turn: TurnView): boolean => turn.status === "sending" || turn.status === "running";
