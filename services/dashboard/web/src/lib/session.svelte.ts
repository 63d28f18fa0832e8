import { CodedError } from "./errors.ts";
import * as identity from "./identity.ts";

/** Whether somebody is signed in. "away" means that the house could not be asked. */
class Session {
  state = $state<"loading" | "in" | "out" | "away">("loading");
  me = $state<identity.Me | null>(null);

  async refresh(): Promise<void> {
    try {
      this.me = await identity.me();
      this.state = "in";
    } catch (error) {
      if (error instanceof CodedError && error.coded.status === 401) this.lost();
      else if (this.state === "loading") this.state = "away";
    }
  }

  entered(me: identity.Me): void {
    this.me = me;
    this.state = "in";
  }

  lost = (): void => {
    this.me = null;
    this.state = "out";
  };

  async signOut(): Promise<void> {
    await identity.signOut();
    this.lost();
  }
}

export const session = new Session();
