import type { Backend } from './backend.ts'
import type { Pointer } from './library.ts'

/**
 * Memory for what graphs compute on the way, shared by graphs that run one at a time: memory of its own would have to
 * be fetched from the system page by page in the first run of each, which takes as long as building the graph.
 */
export class GraphMemory {
  private readonly allocator: Pointer
  private moves = 0

  constructor(private readonly backend: Backend) {
    this.allocator = backend.ggml.gallocrNew(backend.bufferType)
  }

  /** Counts how often the memory was replaced: graphs that were laid out before are void. */
  get generation(): number {
    return this.moves
  }

  get sizeBytes(): number {
    return this.backend.ggml.gallocrBufferSize(this.allocator, 0)
  }

  /** Gives every tensor of the graph its place. @returns false if there is not enough memory */
  lay(graph: Pointer): boolean {
    const { ggml } = this.backend
    const before = this.sizeBytes
    // Without it, a graph of as many nodes as the last would be laid out as that one was.
    const isReserved = ggml.gallocrReserve(this.allocator, graph)
    // Also when there is not enough memory: what there was is gone then.
    if (this.sizeBytes !== before) this.moves += 1
    return isReserved && ggml.gallocrAllocGraph(this.allocator, graph)
  }

  close(): void {
    this.backend.ggml.gallocrFree(this.allocator)
  }
}
