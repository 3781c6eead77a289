import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { type PipelineGroupsOptions, pipelineGroups } from '../search/pipeline-groups.ts'

export type HexgenOptions = PipelineGroupsOptions

/**
 * A search in the manner of HexGen (arXiv 2311.11514, section 4): a genetic search over partitions of the devices into
 * asymmetric pipelines, with the best layers inside each. Tensor parallelism, which HexGen also decides, is outside of a
 * flow instance: there a device is a whole machine. Null if no group can hold the model.
 */
export function hexgenPlacement(instance: FlowInstance, options: HexgenOptions): FlowPlacement | null {
  return pipelineGroups(instance, options)
}
