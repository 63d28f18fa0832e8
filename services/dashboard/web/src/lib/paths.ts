/** A `rd` parameter as a path of this house, or the start page: never another site, never a script. */
export function localPath(wanted: string | null): string {
  if (!wanted || !/^\/(?![/\\])/.test(wanted) || /[\\\u0000-\u001f]/.test(wanted)) return "/";
  const url = new URL(wanted, "https://house.invalid");
  if (url.host !== "house.invalid") return "/";
  if (url.pathname === "/signin") return "/";
  const path = url.pathname + url.search + url.hash;
  // Resolving the dots may have brought two slashes together, and those would name another site.
  return path.startsWith("//") ? "/" : path;
}
