import type { Component } from "svelte";
import type { IconName } from "../ui/icons.ts";

/** What the shell must know of a page before its code is loaded. One folder per page. */
export type Manifest = {
  path: string;
  title: string;
  /** Reachable without being signed in, and shown without the navigation. */
  open?: boolean;
  nav?: { icon: IconName; hint: string };
  /** A view of another page: not in the navigation itself, but in that page's own and in the command palette. */
  within?: { path: string; icon: IconName; hint: string };
  load: () => Promise<{ default: Component }>;
};
