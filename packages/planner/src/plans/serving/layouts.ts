import { memoryBytes } from '../../devices/index.ts'
import { type ModelShape, parameterCounts } from '../../models/index.ts'
import type { ComputeFleet } from '../fleet.ts'
import { sizeOf } from '../group-degrees.ts'
import { usableMemory } from './unit-costs.ts'
import { tensorOnly, type UnitLayout } from './units.ts'
import { precisions, type ServingWorkload, type WeightPrecision } from './workload.ts'

const parts = [2, 4, 8]
const mostMembers = 8
/** Prompts as long as this may be divided by positions. */
const longPrompt = 8192
const offloads = [0.25, 0.5, 0.75, 0.95]
/** Of an accelerator's memory: weights that take less leave room enough. */
const roomyShare = 0.6

/**
 * Layouts worth a try beside tensor parallelism alone: experts divided where there are any, positions where prompts are
 * long, weights with the host where there is one and they crowd the accelerators.
 */
export function furtherLayouts(
  shape: ModelShape,
  { machines }: ComputeFleet,
  { promptTokens }: ServingWorkload,
  precision: WeightPrecision,
  tensors: readonly number[],
): readonly UnitLayout[] {
  const within = (layout: UnitLayout) => sizeOf(layout) <= mostMembers
  const { experts } = shape
  const byExperts =
    experts === null
      ? []
      : tensors.flatMap((tensor) =>
          parts
            .filter((expert) => experts.count % expert === 0)
            .map((expert) => ({ ...tensorOnly(tensor), expert })),
        )
  const byPositions =
    promptTokens.p95 < longPrompt
      ? []
      : tensors.flatMap((tensor) => parts.map((context) => ({ ...tensorOnly(tensor), context })))
  const weightBytes = parameterCounts(shape).total * precisions[precision].weightBytes
  const hosts = machines.filter(({ hostMemoryGiB = 0 }) => hostMemoryGiB > 0)
  const byHost = tensors
    .filter((tensor) =>
      hosts.some(
        ({ accelerator }) => weightBytes / tensor > memoryBytes(accelerator) * usableMemory * roomyShare,
      ),
    )
    .flatMap((tensor) => offloads.map((offload) => ({ ...tensorOnly(tensor), offload })))
  return [...byExperts.filter(within), ...byPositions.filter(within), ...byHost]
}
