export type TierId = "convenience" | "sensitive" | "sacred";

/** What a person is told when they choose how private something is. */
export const tiers = [
  { id: "convenience", name: "Convenience", tone: "plain", meaning: "Everyday facts. AI clients with a token may read it." },
  { id: "sensitive", name: "Sensitive", tone: "calm", meaning: "Private: messages, health, finance. This house's own apps only." },
  { id: "sacred", name: "Sacred", tone: "ember", meaning: "Encrypted, in its own database. It never leaves the house." },
] as const satisfies readonly { id: TierId; name: string; tone: "plain" | "calm" | "ember"; meaning: string }[];
