import { ask } from "./ask/manifest.ts";
import { invite } from "./invite/manifest.ts";
import type { Manifest } from "./manifest.ts";
import { memory } from "./memory/manifest.ts";
import { recover } from "./recover/manifest.ts";
import { security } from "./security/manifest.ts";
import { setup } from "./setup/manifest.ts";
import { signin } from "./signin/manifest.ts";
import { system } from "./system/manifest.ts";

export const pages: readonly Manifest[] = [ask, memory, system, security, signin, setup, invite, recover];

export const pageAt = (path: string): Manifest | undefined => pages.find((page) => page.path === path);
