/** Who is signed in, and how they prove it. Shapes: services/identity/README.md. */
import { CodedError } from "./errors.ts";
import { identity } from "./http.ts";
import { createPasskey, usePasskey } from "./webauthn.ts";

const ALLAUTH = "/_allauth/browser/v1";

export type Me = {
  subject: string;
  username: string;
  role: "owner" | "member";
  aal: number;
  auth_time: string;
  second_factor: boolean;
  reauthenticated: boolean;
};

export type Session = {
  id: number;
  ip: string;
  user_agent: string;
  created_at: number;
  last_seen_at?: number;
  is_current: boolean;
};

export type Authenticator =
  | { type: "totp"; created_at: number; last_used_at: number | null }
  | { type: "webauthn"; id: number; name: string; created_at: number; last_used_at: number | null }
  | { type: "recovery_codes"; total_code_count: number; unused_code_count: number };

export type Token = {
  id: string;
  name: string;
  scopes: string[];
  tiers: string[];
  created_at: string;
  expires_at: string;
  last_used_at: string | null;
  state: "active" | "expired" | "revoked";
};

export type NewToken = { id: string; secret: string; name: string; expires_at: string };
export type Invite = {
  id: string;
  label: string;
  role: string;
  created_at: string;
  expires_at: string;
  state: "open" | "used" | "expired" | "revoked";
};
export type NewInvite = { id: string; link: string; expires_at: string };
export type AuditEvent = {
  id: number;
  at: string;
  event: string;
  outcome: string;
  username: string | null;
  client_ip: string | null;
  user_agent: string;
  correlation_id: string;
};
export type RecoveryCodes = { unused_codes?: string[]; total_code_count: number; unused_code_count: number };
export type TotpSecret = { secret: string; totp_url: string };

type Data<T> = { data: T };
type Options = { publicKey: Record<string, unknown> };

export const me = () => identity<Me>("GET", "/auth/me", { signIn: true });
export const setupNeeded = () => identity<{ needed: boolean }>("GET", "/auth/setup", { signIn: true });

/** Makes sure that the browser holds a CSRF cookie before the first form is sent. */
export const prepare = () => identity<unknown>("GET", `${ALLAUTH}/config`, { signIn: true });

/** Whether the password was enough; otherwise the kinds of second factor that this person has. */
export async function signIn(username: string, password: string): Promise<string[] | null> {
  await prepare();
  try {
    await identity("POST", `${ALLAUTH}/auth/login`, { body: { username, password }, signIn: true });
    return null;
  } catch (error) {
    if (error instanceof CodedError && error.coded.code === "identity.second_factor_pending") return pendingTypes();
    throw error;
  }
}

type Flows = { data?: { flows?: { id: string; is_pending?: boolean; types?: string[] }[] } };

async function pendingTypes(): Promise<string[]> {
  const response = await fetch(`${ALLAUTH}/auth/session`, { headers: { Accept: "application/json" } });
  const body = (await response.json()) as Flows;
  const flow = body.data?.flows?.find((candidate) => candidate.id === "mfa_authenticate" && candidate.is_pending);
  return flow?.types ?? ["totp"];
}

export const secondFactor = (code: string) =>
  identity("POST", `${ALLAUTH}/auth/2fa/authenticate`, { body: { code }, signIn: true });

async function passkey(path: string, signingIn: boolean): Promise<void> {
  if (signingIn) await prepare();
  const reply = await identity<Data<{ request_options: Options }>>("GET", path, { signIn: true });
  const credential = await usePasskey(reply.data.request_options.publicKey);
  await identity("POST", path, { body: { credential }, signIn: true });
}

export const signInWithPasskey = () => passkey(`${ALLAUTH}/auth/webauthn/login`, true);
export const secondFactorWithPasskey = () => passkey(`${ALLAUTH}/auth/webauthn/authenticate`, true);
export const proveWithPasskey = () => passkey(`${ALLAUTH}/auth/webauthn/reauthenticate`, false);
export const proveWithPassword = (password: string) =>
  identity("POST", `${ALLAUTH}/auth/reauthenticate`, { body: { password }, signIn: true });
export const proveWithCode = (code: string) =>
  identity("POST", `${ALLAUTH}/auth/2fa/reauthenticate`, { body: { code }, signIn: true });

export async function signOut(): Promise<void> {
  try {
    await identity("DELETE", `${ALLAUTH}/auth/session`, { signIn: true });
  } catch (error) {
    // 401 says that nobody is signed in any more, which is what was wanted.
    if (!(error instanceof CodedError) || error.coded.status !== 401) throw error;
  }
}

type Account = { token: string; username: string; password: string };
async function account(path: string, body: object): Promise<Me> {
  await prepare();
  return identity<Me>("POST", path, { body, signIn: true });
}
export const setUp = (body: Account) => account("/auth/setup", body);
export const acceptInvite = (body: Account) => account("/auth/invites/accept", body);
export const recover = (body: { token: string; password: string }) => account("/auth/recover", body);

export const sessions = async () => (await identity<Data<Session[]>>("GET", `${ALLAUTH}/auth/sessions`)).data;
export const endSessions = (ids: number[]) =>
  identity("DELETE", `${ALLAUTH}/auth/sessions`, { body: { sessions: ids } });
export const changePassword = (current_password: string, new_password: string) =>
  identity("POST", `${ALLAUTH}/account/password/change`, { body: { current_password, new_password } });

const KEYS = `${ALLAUTH}/account/authenticators`;
export const authenticators = async () => (await identity<Data<Authenticator[]>>("GET", KEYS)).data;

export async function addPasskey(name: string): Promise<{ recoveryCodesMade: boolean }> {
  const reply = await identity<Data<{ creation_options: Options }>>("GET", `${KEYS}/webauthn?passwordless`);
  const credential = await createPasskey(reply.data.creation_options.publicKey);
  const made = await identity<{ meta?: { recovery_codes_generated?: boolean } }>("POST", `${KEYS}/webauthn`, {
    body: { name, credential },
  });
  return { recoveryCodesMade: made.meta?.recovery_codes_generated ?? false };
}
export const removePasskey = (id: number) => identity("DELETE", `${KEYS}/webauthn`, { body: { authenticators: [id] } });

/** A new secret for an authenticator app. It comes as a 404: "not set up; here is what to set up". */
export async function totpSecret(): Promise<TotpSecret> {
  const response = await fetch(`${KEYS}/totp`, { headers: { Accept: "application/json" } });
  const body = (await response.json()) as { meta?: Partial<TotpSecret> };
  if (response.status === 404 && body.meta?.secret && body.meta.totp_url) return body.meta as TotpSecret;
  await identity("GET", `${KEYS}/totp`);
  throw new Error("An authenticator app is set up already.");
}
export const confirmTotp = (code: string) => identity("POST", `${KEYS}/totp`, { body: { code } });
export const removeTotp = () => identity("DELETE", `${KEYS}/totp`);

export const recoveryCodes = async () => (await identity<Data<RecoveryCodes>>("GET", `${KEYS}/recovery-codes`)).data;
export const newRecoveryCodes = async () =>
  (await identity<Data<RecoveryCodes>>("POST", `${KEYS}/recovery-codes`, { body: {} })).data;

export const tokens = async () => (await identity<{ tokens: Token[] }>("GET", "/auth/tokens")).tokens;
export const createToken = (body: { name: string; scopes: string[]; expires_in_days: number; tiers: string[] }) =>
  identity<NewToken>("POST", "/auth/tokens", { body });
export const revokeToken = (id: string) => identity<void>("DELETE", `/auth/tokens/${encodeURIComponent(id)}`);

export const invites = async () => (await identity<{ invites: Invite[] }>("GET", "/auth/invites")).invites;
export const createInvite = (label: string) =>
  identity<NewInvite>("POST", "/auth/invites", { body: { label, role: "member" } });
export const revokeInvite = (id: string) => identity<void>("DELETE", `/auth/invites/${encodeURIComponent(id)}`);

export const audit = (before: number | null) =>
  identity<{ events: AuditEvent[]; next: number | null }>(
    "GET",
    `/auth/audit?limit=12${before === null ? "" : `&before=${before}`}`,
  );
