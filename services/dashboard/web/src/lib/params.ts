/** The same address with another value of one parameter, or without it: panels and filters are named in the address. */
export function withParam(path: string, search: string, key: string, value: string | null): string {
  const params = new URLSearchParams(search);
  if (value === null || value === "") params.delete(key);
  else params.set(key, value);
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}
