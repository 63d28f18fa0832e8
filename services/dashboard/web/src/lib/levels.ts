import type { Memory } from "../api/client.ts";

export type LevelId = Memory["level"];

/** How long each level keeps what is in it, as a person is told. The house says the numbers. */
export const levels = [
  { id: "identity", name: "Identity", meaning: "Who you are. Always in context, never fades." },
  { id: "session", name: "Session", meaning: "This conversation. Gone in half an hour." },
  { id: "working", name: "Working", meaning: "What is being worked on. Gone in an hour unless it is used." },
  { id: "episodic", name: "Episodic", meaning: "What happened. Fades within weeks, stronger each time it is used." },
  { id: "knowledge", name: "Knowledge", meaning: "What is so. Kept until you forget it." },
] as const satisfies readonly { id: LevelId; name: string; meaning: string }[];

export const levelName = (id: string): string => levels.find((level) => level.id === id)?.name ?? id;
