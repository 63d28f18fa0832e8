import { tick } from "svelte";
import { localPath } from "./paths.ts";

/** Where the person is. The only place that touches the browser's history. */
class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  hash = $state(location.hash);

  constructor() {
    addEventListener("popstate", () => this.read());
  }

  get query(): URLSearchParams {
    return new URLSearchParams(this.search);
  }

  go(href: string, options: { replace?: boolean; keepFocus?: boolean } = {}): void {
    const url = new URL(href, location.origin);
    if (url.origin !== location.origin) return;
    const samePath = url.pathname === this.path;
    history[options.replace ? "replaceState" : "pushState"](null, "", url);
    this.read();
    if (!samePath && !options.keepFocus) void this.focusMain();
  }

  /** After signing in: to where the person wanted to go, if that is within the house. */
  goAfterSignIn(): void {
    this.go(localPath(this.query.get("rd")), { replace: true });
  }

  private read(): void {
    this.path = location.pathname;
    this.search = location.search;
    this.hash = location.hash;
  }

  /** A screen reader hears the new page's name, and the next Tab starts in it. */
  async focusMain(): Promise<void> {
    await tick();
    document.getElementById("main")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

export const router = new Router();

/** Lets plain links within the house navigate without loading the page again. */
export function interceptLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.pathname === location.pathname && link.hash) return;
  event.preventDefault();
  router.go(link.href);
}
