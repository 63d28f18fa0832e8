/** The graph as tables: its keyboard-reachable, readable twin. */
import type { Edge, Node } from "../../api/memory.ts";

export type Direction = "ascending" | "descending";
export type Order<K extends string> = { by: K; direction: Direction };

/** The next order when a column's head is pressed: its other direction, or a new column's natural one. */
export function pressed<K extends string>(order: Order<K>, by: K, numbers: readonly K[]): Order<K> {
  if (order.by === by) return { by, direction: order.direction === "ascending" ? "descending" : "ascending" };
  // Numbers are looked at from the largest, words from A.
  return { by, direction: numbers.includes(by) ? "descending" : "ascending" };
}

type Value = string | number;

/** Sorted by one column; equals keep their order. What is empty comes last, whichever way. */
export function sorted<T, K extends string>(rows: readonly T[], order: Order<K>, value: (row: T, by: K) => Value): T[] {
  const sign = order.direction === "ascending" ? 1 : -1;
  return [...rows].sort((left, right) => {
    const [a, b] = [value(left, order.by), value(right, order.by)];
    if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
    const compared = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return compared * sign;
  });
}

export type EntityRow = Node & { relations: number };
export type EntityColumn = "name" | "kind" | "mentions" | "relations";

export function entityRows(nodes: readonly Node[], edges: readonly Edge[]): EntityRow[] {
  const relations = new Map<string, number>();
  for (const edge of edges) {
    for (const end of new Set([edge.from, edge.to])) relations.set(end, (relations.get(end) ?? 0) + 1);
  }
  return nodes.map((node) => ({ ...node, relations: relations.get(node.id) ?? 0 }));
}

export type RelationRow = Edge & { fromName: string; toName: string };
export type RelationColumn = "from" | "predicate" | "to" | "since" | "state";

/** Relations with the names of their ends. One whose end is not among the nodes is left out: it cannot be drawn either. */
export function relationRows(nodes: readonly Node[], edges: readonly Edge[]): RelationRow[] {
  const names = new Map(nodes.map((node) => [node.id, nameOf(node)]));
  return edges.flatMap((edge) => {
    const [fromName, toName] = [names.get(edge.from), names.get(edge.to)];
    return fromName === undefined || toName === undefined ? [] : [{ ...edge, fromName, toName }];
  });
}

export const entityValue = (row: EntityRow, by: EntityColumn): Value => (by === "name" ? nameOf(row) : row[by]);

export function relationValue(row: RelationRow, by: RelationColumn): Value {
  if (by === "from") return row.fromName;
  if (by === "to") return row.toName;
  if (by === "since") return row.valid_from ?? "";
  return by === "state" ? (row.current ? "now" : "then") : row.predicate;
}

/** "lives_in" as a person reads it. */
export const spoken = (predicate: string): string => predicate.replace(/[_.]+/g, " ").trim();

/** An edge's own key: two that only were mentioned together have no fact to be named by. */
export const edgeKey = (edge: Edge): string => edge.fact_id ?? `${edge.from} ${edge.predicate} ${edge.to}`;

/** The person whose memory it is, as a page says it. */
export const nameOf = (entity: { name: string; me?: boolean }): string => (entity.me ? "you" : entity.name);

export type Shown = { nodes: Node[]; edges: Edge[] };

/** The part of a graph that a filter leaves: kinds of entities, and only what still holds. */
export function narrowed(graph: { nodes: readonly Node[]; edges: readonly Edge[] }, kinds: ReadonlySet<string>, currentOnly: boolean): Shown {
  const nodes = graph.nodes.filter((node) => kinds.size === 0 || kinds.has(node.kind));
  const ids = new Set(nodes.map((node) => node.id));
  const edges = graph.edges.filter((edge) => ids.has(edge.from) && ids.has(edge.to) && (edge.current || !currentOnly));
  return { nodes, edges };
}

export const kindsOf = (nodes: readonly Node[]): string[] => [...new Set(nodes.map((node) => node.kind))].sort();
