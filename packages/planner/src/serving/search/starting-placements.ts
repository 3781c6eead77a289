import { equalSplit } from '../baselines/equal-split.ts'
import { petalsPlacement } from '../baselines/petals.ts'
import { separatePipelines } from '../baselines/separate-pipelines.ts'
import { swarmPlacement } from '../baselines/swarm.ts'
import { flowBounds } from '../flow/flow-bounds.ts'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { islandChains } from './island-chain.ts'
import { findIslands, linkTable } from './islands.ts'
import { parallelBlocks } from './parallel-blocks.ts'
import { pipelineGroups } from './pipeline-groups.ts'
import type { SearchOptions } from './search-placement.ts'
import { thresholdChain } from './threshold-chain.ts'

/** Pipelines through all islands from which a walk begins. */
const mostChains = 6
/** Devices looked at in all generations of the search for groups. */
const groupWork = 60_000
/** Blocks are tried where few kinds keep them few, and for each flow aimed at with so many changes. */
const mostBlockKinds = 8
const mostBlockDevices = 64
/** Devices that hold more layers need few others beside them, and make blocks slow to weigh. */
const mostBlockDepth = 18
const fewestBlockMoves = 20_000
const mostBlockMoves = 200_000
/** Of all evaluations, what moves of blocks may cost for each flow aimed at. */
const blockShare = 0.02

/** Constructions to improve on: pipelines over all devices in several orders, and what published heuristics place. */
export function startingPlacements(
  instance: FlowInstance,
  seeds: readonly FlowPlacement[],
  { random, evaluations, shouldStop }: Pick<SearchOptions, 'random' | 'evaluations' | 'shouldStop'>,
): readonly FlowPlacement[] {
  const stop = shouldStop === undefined ? {} : { shouldStop }
  const islands = findIslands(linkTable(instance))
  const kinds = new Set(instance.devices.map(({ kind }) => kind))
  const blockMoves = Math.min(mostBlockMoves, Math.max(fewestBlockMoves, evaluations * blockShare))
  const blocks = () =>
    islands.length === 1 &&
    kinds.size <= mostBlockKinds &&
    instance.devices.length <= mostBlockDevices &&
    instance.devices.every(({ tokensPerSecondByLayers: rates }) => rates.length <= mostBlockDepth)
      ? parallelBlocks(instance, flowBounds(instance).best, { moves: blockMoves, random, ...stop })
      : null
  const built = [
    thresholdChain(
      instance,
      instance.devices.map((_, device) => device),
    ),
    ...islandChains(instance).slice(0, mostChains),
    pipelineGroups(instance, {
      generations: Math.ceil(groupWork / instance.devices.length),
      random,
      ...stop,
    }),
    blocks(),
    petalsPlacement(instance),
    swarmPlacement(instance),
    separatePipelines(instance),
    equalSplit(instance),
  ]
  return [...built.filter((each) => each !== null), ...seeds]
}
