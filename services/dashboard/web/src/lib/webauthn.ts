/** Passkeys: between the JSON that travels and the buffers that the browser wants. */

type Json = Record<string, unknown>;

export function toBytes(base64url: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

export function fromBytes(buffer: ArrayBuffer): string {
  let binary = "";
  for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

const withIds = (list: unknown): unknown =>
  Array.isArray(list) ? list.map((item: Json) => ({ ...item, id: toBytes(String(item.id)) })) : undefined;

/** Options for `navigator.credentials.create`, from the server's JSON. */
export function creationOptions(json: Json): PublicKeyCredentialCreationOptions {
  const user = json.user as Json;
  return {
    ...json,
    challenge: toBytes(String(json.challenge)),
    user: { ...user, id: toBytes(String(user.id)) },
    excludeCredentials: withIds(json.excludeCredentials),
  } as unknown as PublicKeyCredentialCreationOptions;
}

/** Options for `navigator.credentials.get`, from the server's JSON. */
export function requestOptions(json: Json): PublicKeyCredentialRequestOptions {
  return {
    ...json,
    challenge: toBytes(String(json.challenge)),
    allowCredentials: withIds(json.allowCredentials),
  } as unknown as PublicKeyCredentialRequestOptions;
}

/** A credential as JSON. Written out, because Safari before 18 has no `toJSON`. */
export function credentialJson(credential: PublicKeyCredential): Json {
  const response = credential.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const body: Json = { clientDataJSON: fromBytes(response.clientDataJSON) };
  if (response.attestationObject) {
    body.attestationObject = fromBytes(response.attestationObject);
    body.transports = response.getTransports?.() ?? [];
  } else {
    body.authenticatorData = fromBytes(response.authenticatorData);
    body.signature = fromBytes(response.signature);
    if (response.userHandle) body.userHandle = fromBytes(response.userHandle);
  }
  return {
    id: credential.id,
    rawId: fromBytes(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: body,
  };
}

export const passkeysWork = (): boolean =>
  typeof window !== "undefined" && "PublicKeyCredential" in window && "credentials" in navigator;

export async function createPasskey(json: Json): Promise<Json> {
  const made = await navigator.credentials.create({ publicKey: creationOptions(json) });
  return credentialJson(made as PublicKeyCredential);
}

export async function usePasskey(json: Json): Promise<Json> {
  const got = await navigator.credentials.get({ publicKey: requestOptions(json) });
  return credentialJson(got as PublicKeyCredential);
}
