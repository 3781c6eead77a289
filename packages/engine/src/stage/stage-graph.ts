import type { ModelConfig } from '@deos/domain'
import { layerCount } from '@deos/domain'
import { expertNodes, latentAttentionNodes } from '../architectures/index.ts'
import { GraphBuilder, type Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { type EntryPlan, gatheredLength } from './attention-plan.ts'
import { contextEntryNodes } from './context-attention.ts'
import type { GraphTensors, GraphVariant, StageParts } from './graph-parts.ts'
import { rotationNodes } from './kv-rotation.ts'
import { SegmentedGraph } from './segmented-graph.ts'
import type { SpanViews } from './span-views.ts'
import { StageGraphBuilder } from './stage-graph-builder.ts'

const NODES_PER_LAYER = 48
const NODES_PER_ENTRY = 7
const NODES_PER_LONG_ENTRY = 12
const NODES_PER_GATHERED_ENTRY = 8
/** Views and copies of the mask, for the last layer's rows and for the others'. */
const MASK_NODES_PER_ENTRY = 8
const NODES_AROUND = 32
const NODES_PER_ADAPTED_MODULE = 5

const nodesPerLayer = ({ experts, latentAttention }: ModelConfig): number =>
  NODES_PER_LAYER +
  rotationNodes +
  (experts === null ? 0 : expertNodes(experts)) +
  (latentAttention === null ? 0 : latentAttentionNodes)

/** One compiled batch shape: built once, run for every step of that shape. */
export class StageGraph {
  readonly tensors: GraphTensors
  private readonly views: SpanViews
  readonly sizeBytes: number
  private readonly context: Pointer
  private readonly graph: Pointer
  private readonly segments: SegmentedGraph
  private readonly generation: number

  constructor(
    private readonly parts: StageParts,
    plans: readonly EntryPlan[],
    variant: GraphVariant,
  ) {
    const { ggml } = parts.backend
    const perGathered = gatheredLength(plans) > 0 ? NODES_PER_GATHERED_ENTRY : 0
    const entryNodes = plans.reduce(
      (sum, { count }) =>
        sum +
        perGathered +
        (parts.rank?.context ? contextEntryNodes : 0) +
        (count === 1 ? NODES_PER_ENTRY : NODES_PER_LONG_ENTRY),
      0,
    )
    const maxNodes =
      NODES_AROUND +
      MASK_NODES_PER_ENTRY * plans.length +
      NODES_PER_ADAPTED_MODULE * (variant.adapted ? parts.adapters.moduleCount : 0) +
      layerCount(parts.layers) * (nodesPerLayer(parts.config) + entryNodes)
    this.context = ggml.init({
      mem_size: maxNodes * ggml.tensorOverhead() + ggml.graphOverheadCustom(maxNodes, false),
      mem_buffer: null,
      no_alloc: true,
    })
    const builder = new GraphBuilder(ggml, this.context, maxNodes)
    const stage = new StageGraphBuilder(parts, builder, plans, variant)
    this.tensors = stage.build()
    this.views = stage.attention.views
    this.graph = builder.graph
    const { memory } = parts
    if (!memory.lay(this.graph)) {
      ggml.free(this.context)
      throw new RangeError(`No memory for a step of ${plans.length} entries on ${parts.backend.device.name}.`)
    }
    this.generation = memory.generation
    this.segments = new SegmentedGraph(parts.backend, this.graph, stage.cuts.cuts)
    this.sizeBytes = ggml.usedMem(this.context)
  }

  /** Whether its memory is still there. */
  get isValid(): boolean {
    return this.generation === this.parts.memory.generation
  }

  write(tensor: Tensor, data: ArrayBufferView): void {
    this.parts.backend.ggml.tensorSet(tensor.pointer, data, 0, data.byteLength)
  }

  read(tensor: Tensor, into: ArrayBufferView): void {
    this.parts.backend.ggml.tensorGet(tensor.pointer, into, 0, into.byteLength)
  }

  /**
   * Points attention at the cells of other sequences: a batch of the same shape need not build a graph of its own
   * because its sequences lie elsewhere.
   */
  aim(plans: readonly EntryPlan[]): void {
    this.views.aim(plans)
  }

  run(): Promise<void> {
    return this.segments.run()
  }

  close(): void {
    this.segments.close()
    this.parts.backend.ggml.free(this.context)
  }
}
