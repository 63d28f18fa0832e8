import { codedOf, type Coded } from "../../lib/errors.ts";
import * as identity from "../../lib/identity.ts";
import { session } from "../../lib/session.svelte.ts";

/** The person's means of proof: shared by the panels, because adding the first one makes recovery codes. */
class Keys {
  list = $state<identity.Authenticator[] | null>(null);
  failure = $state<Coded | null>(null);
  /** Codes to show, once, in a dialog. */
  codes = $state<string[] | null>(null);

  get passkeys() {
    return (this.list ?? []).filter((entry) => entry.type === "webauthn");
  }
  get totp() {
    return (this.list ?? []).find((entry) => entry.type === "totp");
  }
  get recovery() {
    return (this.list ?? []).find((entry) => entry.type === "recovery_codes");
  }

  refresh = async (): Promise<void> => {
    try {
      this.list = await identity.authenticators();
      this.failure = null;
      void session.refresh();
    } catch (error) {
      this.failure = codedOf(error);
    }
  };

  /** After something was added: codes that were made along with it are shown at once. */
  added = async (): Promise<void> => {
    const had = this.recovery !== undefined;
    await this.refresh();
    if (!had && this.recovery) await this.show();
  };

  async show(): Promise<void> {
    const reply = await identity.recoveryCodes();
    if (reply.unused_codes) this.codes = reply.unused_codes;
  }

  async renew(): Promise<void> {
    this.codes = (await identity.newRecoveryCodes()).unused_codes ?? null;
    await this.refresh();
  }
}

export const keys = new Keys();
