import { equalSplit } from '../baselines/equal-split.ts'
import { petalsPlacement } from '../baselines/petals.ts'
import { separatePipelines } from '../baselines/separate-pipelines.ts'
import { swarmPlacement } from '../baselines/swarm.ts'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { islandChains } from './island-chain.ts'
import { thresholdChain } from './threshold-chain.ts'

/** Pipelines through all islands from which a walk begins. */
const mostChains = 6

/** Constructions to improve on: pipelines over all devices in several orders, and what published heuristics place. */
export function startingPlacements(
  instance: FlowInstance,
  seeds: readonly FlowPlacement[],
): readonly FlowPlacement[] {
  const built = [
    thresholdChain(
      instance,
      instance.devices.map((_, device) => device),
    ),
    ...islandChains(instance).slice(0, mostChains),
    petalsPlacement(instance),
    swarmPlacement(instance),
    separatePipelines(instance),
    equalSplit(instance),
  ]
  return [...built.filter((each) => each !== null), ...seeds]
}
