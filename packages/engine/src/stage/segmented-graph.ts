import type { Backend } from '../ggml/backend.ts'
import type { GraphBuilder } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'

/** A place in a graph where ranks hand values to each other. */
export interface Cut {
  /** Nodes before it. */
  readonly node: number
  /** What happens between the nodes before and those behind it. */
  act(): Promise<void>
  /** Whether the nodes since the last cut are to be computed. Default: they are. */
  runs?(): boolean
}

/** The cuts of a graph that is being built. */
export class CutList {
  readonly cuts: Cut[] = []

  constructor(
    private readonly backend: Backend,
    private readonly builder: GraphBuilder,
  ) {}

  /** What comes next is computed when `act` is through. */
  add(act: () => Promise<void>, runs?: () => boolean): void {
    const node = this.backend.ggml.graphNodeCount(this.builder.graph)
    this.cuts.push({ node, act, ...(runs && { runs }) })
  }
}

interface Segment {
  /** Null where there is nothing to compute. */
  readonly graph: Pointer | null
  readonly cut: Cut | null
}

/** A graph that was laid out as a whole and is computed piece by piece. */
export class SegmentedGraph {
  private readonly context: Pointer | null
  private readonly segments: readonly Segment[]

  constructor(
    private readonly backend: Backend,
    graph: Pointer,
    cuts: readonly Cut[],
  ) {
    if (cuts.length === 0) {
      this.context = null
      this.segments = [{ graph, cut: null }]
      return
    }
    const { ggml } = backend
    const count = ggml.graphNodeCount(graph)
    const bounds = [0, ...cuts.map(({ node }) => node), count]
    const sizes = bounds.slice(1).map((end, index) => end - bounds[index]!)
    this.context = ggml.init({
      mem_size: sizes.reduce((sum, size) => sum + ggml.graphOverheadCustom(size + 1, false), 0),
      mem_buffer: null,
      no_alloc: true,
    })
    this.segments = sizes.map((size, index) => ({
      graph: size === 0 ? null : this.piece(graph, bounds[index]!, size),
      cut: cuts[index] ?? null,
    }))
  }

  async run(): Promise<void> {
    for (const { graph, cut } of this.segments) {
      if (graph && (cut?.runs?.() ?? true)) await this.backend.compute(graph)
      await cut?.act()
    }
  }

  close(): void {
    if (this.context) this.backend.ggml.free(this.context)
  }

  private piece(graph: Pointer, first: number, size: number): Pointer {
    const { ggml } = this.backend
    const piece = ggml.newGraphCustom(this.context!, size + 1, false)
    for (let node = first; node < first + size; node += 1)
      ggml.graphAddNode(piece, ggml.graphNode(graph, node))
    return piece
  }
}
