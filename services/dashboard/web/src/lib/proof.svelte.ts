/** A request that waits for the person to prove who they are; the dialog answers it. */
class Proof {
  code = $state<string | null>(null);
  private waiting: ((proven: boolean) => void)[] = [];

  ask = (code: string): Promise<boolean> => {
    // One dialog serves all requests that arrive while it is open; the stricter demand wins.
    if (this.code === null || code === "edge.step_up_required") this.code = code;
    return new Promise((resolve) => this.waiting.push(resolve));
  };

  answer(proven: boolean): void {
    this.code = null;
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve(proven);
  }
}

export const proof = new Proof();
