import assert from "node:assert/strict";
import test from "node:test";
import { creationOptions, credentialJson, fromBytes, requestOptions, toBytes } from "./webauthn.ts";

test("every byte value survives the way there and back", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const text = fromBytes(bytes.buffer);
  assert.doesNotMatch(text, /[+/=]/);
  assert.deepEqual(toBytes(text), bytes);
});

test("creation options get buffers where the browser wants them and keep the rest", () => {
  const options = creationOptions({
    challenge: "AQI",
    rp: { id: "lares.test", name: "Lares" },
    user: { id: "Aw", name: "ada", displayName: "Ada" },
    excludeCredentials: [{ type: "public-key", id: "BA" }],
  });
  assert.deepEqual(options.challenge, new Uint8Array([1, 2]));
  assert.deepEqual(options.user.id, new Uint8Array([3]));
  assert.deepEqual(options.excludeCredentials?.[0]?.id, new Uint8Array([4]));
  assert.equal(options.rp.id, "lares.test");
});

test("a request without allowed credentials lets the person choose", () => {
  assert.equal(requestOptions({ challenge: "AQI", rpId: "lares.test" }).allowCredentials, undefined);
});

test("an assertion travels with its user handle, an attestation with its transports", () => {
  const buffer = new Uint8Array([1]).buffer;
  const common = { id: "AQ", rawId: buffer, type: "public-key", authenticatorAttachment: "platform" };
  const assertion = credentialJson({
    ...common,
    getClientExtensionResults: () => ({}),
    response: { clientDataJSON: buffer, authenticatorData: buffer, signature: buffer, userHandle: buffer },
  } as unknown as PublicKeyCredential);
  assert.deepEqual(assertion.response, {
    clientDataJSON: "AQ",
    authenticatorData: "AQ",
    signature: "AQ",
    userHandle: "AQ",
  });
  const attestation = credentialJson({
    ...common,
    getClientExtensionResults: () => ({}),
    response: { clientDataJSON: buffer, attestationObject: buffer, getTransports: () => ["internal"] },
  } as unknown as PublicKeyCredential);
  assert.deepEqual(attestation.response, { clientDataJSON: "AQ", attestationObject: "AQ", transports: ["internal"] });
});
