import { ask } from "./ask/manifest.ts";
import { graph } from "./graph/manifest.ts";
import { inference } from "./inference/manifest.ts";
import { invite } from "./invite/manifest.ts";
import { levels } from "./levels/manifest.ts";
import type { Manifest } from "./manifest.ts";
import { memory } from "./memory/manifest.ts";
import { namespaces } from "./namespaces/manifest.ts";
import { recover } from "./recover/manifest.ts";
import { security } from "./security/manifest.ts";
import { setup } from "./setup/manifest.ts";
import { signin } from "./signin/manifest.ts";
import { system } from "./system/manifest.ts";
import { timeline } from "./timeline/manifest.ts";
import { transfer } from "./transfer/manifest.ts";

export const pages: readonly Manifest[] = [
  ask,
  memory,
  inference,
  system,
  security,
  timeline,
  graph,
  levels,
  namespaces,
  transfer,
  signin,
  setup,
  invite,
  recover,
];

export const pageAt = (path: string): Manifest | undefined => pages.find((page) => page.path === path);

/** A page with its views, itself first. */
export const viewsOf = (path: string): Manifest[] => pages.filter((page) => page.path === path || page.within?.path === path);
