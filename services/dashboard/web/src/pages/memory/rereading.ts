/** Things that changed elsewhere, read again together a moment later; too many at once are not read but said. */
export class Rereading {
  private readonly waiting = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly one: (id: string) => Promise<void>;
  private readonly many: () => void;
  private readonly delayMs: number;

  constructor(one: (id: string) => Promise<void>, many: () => void, delayMs = 400) {
    this.one = one;
    this.many = many;
    this.delayMs = delayMs;
  }

  read(id: string): void {
    this.waiting.add(id);
    this.timer ??= setTimeout(() => this.flush(), this.delayMs);
  }

  end(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.waiting.clear();
  }

  private flush(): void {
    const ids = [...this.waiting];
    this.end();
    if (ids.length > MANY) return this.many();
    // One that cannot be read is gone or will be told of again: what is shown stays until then.
    for (const id of ids) this.one(id).catch(() => undefined);
  }
}

const MANY = 8;
