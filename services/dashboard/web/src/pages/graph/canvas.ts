/** The picture of the graph. Loaded only where it is shown: it brings sigma and graphology with it. */
import { MultiDirectedGraph } from "graphology";
import forceAtlas2 from "graphology-layout-forceatlas2";
import Sigma from "sigma";
import type { Edge, Node } from "../../api/memory.ts";
import { colour, startAt } from "./picture.ts";
import { edgeKey, nameOf } from "./tables.ts";

export type Palette = { ink: string; faint: string; line: string; accent: string; kinds: readonly string[] };
export type Picture = {
  draw: (nodes: readonly Node[], edges: readonly Edge[], kinds: readonly string[]) => void;
  choose: (id: string | null) => void;
  recolour: (palette: Palette) => void;
  zoom: (by: "in" | "out" | "whole") => void;
  end: () => void;
};

/** Layout work in all, and at once: a large graph gets fewer rounds, so that a phone stays awake to its owner. */
const ROUNDS_MAX = 240;
const WORK_MAX = 120_000;
const FRAME_MS = 8;

/** Draws into `box` until `end`. `still`: no motion, the picture appears when its layout is done. */
export function picture(box: HTMLElement, palette: Palette, still: boolean, onchoose: (id: string) => void): Picture {
  const graph = new MultiDirectedGraph();
  let colours = palette;
  let kinds: readonly string[] = [];
  let chosen: string | null = null;
  let frame = 0;

  const near = (id: string): boolean => chosen === null || id === chosen || graph.areNeighbors(id, chosen);
  const sigma = new Sigma(graph, box, {
    labelFont: "system-ui, sans-serif",
    labelSize: 13,
    labelDensity: 2,
    labelRenderedSizeThreshold: 4,
    labelColor: { color: colours.ink },
    defaultEdgeType: "arrow",
    minCameraRatio: 0.05,
    maxCameraRatio: 4,
    allowInvalidContainer: true,
    // Labels on hover are drawn on a white card, which a dark theme does not have.
    defaultDrawNodeHover: () => undefined,
    nodeReducer: (id, data) => ({
      ...data,
      color: near(id) ? colour(String(data.kind), kinds, colours.kinds) : colours.line,
      label: near(id) ? String(data.label) : "",
      forceLabel: id === chosen,
      highlighted: id === chosen,
      zIndex: id === chosen ? 1 : 0,
    }),
    edgeReducer: (id, data) => {
      const touched = chosen !== null && (graph.source(id) === chosen || graph.target(id) === chosen);
      return { ...data, color: touched ? colours.accent : data.current ? colours.faint : colours.line };
    },
  });
  sigma.on("clickNode", ({ node }) => onchoose(node));

  function settle(): void {
    cancelAnimationFrame(frame);
    const size = graph.order + graph.size;
    let left = Math.min(ROUNDS_MAX, Math.max(20, Math.floor(WORK_MAX / Math.max(1, size))));
    const settings = { ...forceAtlas2.inferSettings(graph), barnesHutOptimize: graph.order > 300 };
    const step = (): void => {
      const until = performance.now() + (still ? 400 : FRAME_MS);
      while (left > 0 && performance.now() < until) {
        const rounds = Math.min(left, 4);
        forceAtlas2.assign(graph, { iterations: rounds, settings });
        left -= rounds;
      }
      if (left > 0) frame = requestAnimationFrame(step);
    };
    if (graph.size > 0) step();
  }

  return {
    draw(nodes, edges, known) {
      kinds = known;
      const ids = new Set(nodes.map((node) => node.id));
      graph.forEachNode((id) => (ids.has(id) ? undefined : graph.dropNode(id)));
      graph.clearEdges();
      nodes.forEach((node, index) => {
        const attributes = { label: nameOf(node), kind: node.kind, size: 4 + 3 * Math.log2(1 + node.mentions) };
        // What was there stays where it was: only newcomers get a place.
        if (graph.hasNode(node.id)) graph.mergeNodeAttributes(node.id, attributes);
        else graph.addNode(node.id, { ...attributes, ...startAt(index) });
      });
      for (const edge of edges) {
        const key = edgeKey(edge);
        if (!graph.hasEdge(key) && graph.hasNode(edge.from) && graph.hasNode(edge.to)) {
          graph.addEdgeWithKey(key, edge.from, edge.to, { size: edge.current && edge.fact_id ? 2 : 1, current: edge.current });
        }
      }
      if (chosen !== null && !graph.hasNode(chosen)) chosen = null;
      settle();
    },
    choose(id) {
      chosen = id !== null && graph.hasNode(id) ? id : null;
      sigma.refresh({ skipIndexation: true });
    },
    recolour(next) {
      colours = next;
      sigma.setSetting("labelColor", { color: next.ink });
      sigma.refresh({ skipIndexation: true });
    },
    zoom(by) {
      const camera = sigma.getCamera();
      const duration = still ? 0 : 200;
      if (by === "whole") void camera.animatedReset({ duration });
      else void (by === "in" ? camera.animatedZoom({ duration }) : camera.animatedUnzoom({ duration }));
    },
    end() {
      cancelAnimationFrame(frame);
      sigma.kill();
    },
  };
}
