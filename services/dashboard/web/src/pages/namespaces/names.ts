/** Names of namespaces, and who shares them. */

export const NAME = /^[a-z][a-z0-9_-]{0,39}$/;

/** What is wrong with a name, or nothing. */
export function wrong(name: string, taken: readonly string[]): string {
  if (name === "") return "";
  if (!NAME.test(name)) return "Small letters, digits, - and _; it begins with a letter and has at most 40 characters.";
  return taken.includes(name) ? "There is one of that name." : "";
}

export type Client = { id: string; name: string; usable: boolean };
type Token = { id: string; name: string; state: string };

/** How the house calls a token among a namespace's clients. */
export const clientOf = (token: { id: string }): string => `pat:${token.id}`;

/** The tokens to choose from: those that work, and those that share it though they are gone. */
export function choices(tokens: readonly Token[], clients: readonly string[]): Client[] {
  const known = tokens.map((token) => ({ id: clientOf(token), name: token.name, usable: token.state === "active" }));
  const listed = known.filter((client) => client.usable || clients.includes(client.id));
  const unknown = clients.filter((id) => !known.some((client) => client.id === id));
  return [...listed, ...unknown.map((id) => ({ id, name: "A token that is gone", usable: false }))];
}

/** With whom a namespace is shared, in words. */
export function sharedWith(space: { shared: boolean; clients?: readonly string[] }, tokens: readonly Token[]): string {
  if (space.shared) return "all clients that may read its memories' tiers";
  const clients = space.clients ?? [];
  if (clients.length === 0) return "nobody: you alone see it";
  const names = choices(tokens, clients)
    .filter((client) => clients.includes(client.id))
    .map((client) => client.name);
  return names.join(", ");
}
