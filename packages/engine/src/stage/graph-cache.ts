import type { StageGraph } from './stage-graph.ts'

/** Graphs of recent batch shapes are kept up to these limits. */
const MAX_GRAPHS = 64
const MAX_GRAPH_BYTES = 96 * 1024 * 1024

/** Graphs of the batch shapes computed last. */
export class GraphCache {
  private readonly graphs = new Map<string, StageGraph>()

  /** The graph of a shape, built if it is not there. */
  get(shape: string, build: () => StageGraph): StageGraph {
    const known = this.graphs.get(shape)
    if (known) {
      this.graphs.delete(shape)
      if (known.isValid) {
        this.graphs.set(shape, known)
        return known
      }
      known.close()
    }
    const graph = build()
    this.graphs.set(shape, graph)
    this.evict()
    return graph
  }

  private evict(): void {
    let size = [...this.graphs.values()].reduce((sum, graph) => sum + graph.sizeBytes, 0)
    for (const [shape, graph] of this.graphs) {
      const enough = this.graphs.size <= MAX_GRAPHS && size <= MAX_GRAPH_BYTES
      if (enough || this.graphs.size === 1) return
      this.graphs.delete(shape)
      size -= graph.sizeBytes
      graph.close()
    }
  }

  /** Closes those whose shapes begin so. */
  drop(prefix: string): void {
    for (const [shape, graph] of this.graphs) {
      if (!shape.startsWith(prefix)) continue
      this.graphs.delete(shape)
      graph.close()
    }
  }
}
