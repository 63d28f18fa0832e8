/** The present, shared by everything on the page that shows an age. Stands still in a hidden tab. */
class Clock {
  now = $state(new Date());

  constructor() {
    setInterval(() => this.tick(), 1000);
    document.addEventListener("visibilitychange", () => this.tick());
  }

  private tick(): void {
    if (document.visibilityState === "visible") this.now = new Date();
  }
}

export const clock = new Clock();
