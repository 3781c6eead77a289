import { isExpertLayer } from '@deos/domain'
import { type Accelerator, keyOfAccelerator } from '../../devices/index.ts'
import { expertParameters, type ModelShape, parameterCounts } from '../../models/index.ts'
import {
  type GroupTerms,
  type StateBytes,
  symmetricNetwork,
  type TrainingFleet,
  type TrainingWork,
} from '../../training/index.ts'
import type { ComputeFleet, FleetMachine, LinkLookup, LinkRate } from '../fleet.ts'
import { type GroupDegrees, sizeOf } from '../group-degrees.ts'
import { classOf, worstLink } from '../serving/units.ts'
import { allReduceMs, tensorDegrees } from '../tensor-parallel.ts'
import type { TrainingJob } from './job.ts'

export interface DeviceGroup {
  readonly members: readonly { readonly machine: FleetMachine; readonly slot: number }[]
  readonly accelerator: Accelerator
}

/** Groups as devices of the training model. */
export interface GroupedFleet {
  readonly degrees: GroupDegrees
  readonly groups: readonly DeviceGroup[]
  readonly fleet: TrainingFleet
}

const halfBytes = 2
/** K and V are passed round in the forward pass, and with their gradients in the backward pass. */
const ringPassesOfTraining = 3
/** Tokens go to experts and back, forward and backward. */
const expertPassesOfTraining = 4
const longSequence = 8192

/** Degrees worth a try; the sequence is divided only where it is long. */
export function groupDegrees(
  shape: ModelShape,
  job: TrainingJob,
  fleet: ComputeFleet,
): readonly GroupDegrees[] {
  const most = Math.max(...groupable(fleet).map((machines) => slotsOf(machines).length))
  const tensor = tensorDegrees(shape, Math.min(8, most))
  const context = job.sequenceTokens >= longSequence ? [1, 2, 4, 8] : [1]
  const count = shape.experts?.count ?? 1
  const expert = [1, 2, 4, 8].filter((degree) => count % degree === 0 && (degree === 1 || count > 1))
  return tensor
    .flatMap((each) => context.flatMap((c) => expert.map((e) => ({ tensor: each, context: c, expert: e }))))
    .filter((degrees) => sizeOf(degrees) <= Math.min(16, most))
}

/** Alike machines of one site stand together. */
function groupable({ machines }: ComputeFleet): readonly (readonly FleetMachine[])[] {
  const classes = new Map<string, FleetMachine[]>()
  for (const machine of machines) {
    const key = classOf(machine)
    classes.set(key, [...(classes.get(key) ?? []), machine])
  }
  return [...classes.values()]
}

const slotsOf = (machines: readonly FleetMachine[]): DeviceGroup['members'] =>
  machines.flatMap((machine) =>
    Array.from({ length: machine.accelerators }, (_, slot) => ({ machine, slot })),
  )

/**
 * The fleet as devices of so many accelerators each. Groups of machines of the same class lie in one machine where they
 * fit; accelerators that no group takes are left out.
 *
 * @param fleet - in canonical order
 */
export function groupedFleet(
  fleet: ComputeFleet,
  links: LinkLookup,
  work: TrainingWork,
  degrees: GroupDegrees,
  format: TrainingFleet['format'],
): GroupedFleet | null {
  const size = sizeOf(degrees)
  const groups: DeviceGroup['members'][] = []
  for (const machines of groupable(fleet)) {
    const inside = machines.every(({ accelerators }) => accelerators % size === 0)
    const pools = inside ? machines.map((machine) => [machine]) : [machines]
    for (const slots of pools.map(slotsOf)) {
      for (let at = 0; at + size <= slots.length; at += size) groups.push(slots.slice(at, at + size))
    }
  }
  return groups.length === 0 ? null : fleetOfGroups(groups, fleet, links, work, degrees, format)
}

/** Groups that are known already as devices; each has as many members as the degrees say. */
export function fleetOfGroups(
  memberships: readonly DeviceGroup['members'][],
  { efficiency }: ComputeFleet,
  links: LinkLookup,
  work: TrainingWork,
  degrees: GroupDegrees,
  format: TrainingFleet['format'],
): GroupedFleet {
  const kinds = new Map<string, Accelerator>()
  const terms = new Map<Accelerator, GroupTerms>()
  const groups = memberships.map((members): DeviceGroup => {
    const link = worstLink(members, links)
    const real = members[0]!.machine.accelerator
    const key = JSON.stringify([keyOfAccelerator(real), sizeOf(degrees) > 1 ? link : null])
    let accelerator = kinds.get(key)
    if (accelerator === undefined) {
      accelerator = asOne(real, degrees)
      kinds.set(key, accelerator)
      terms.set(accelerator, termsOf(work, degrees, link))
    }
    return { members, accelerator }
  })
  const network = symmetricNetwork(groups.length, (a, b) => {
    const { delayMs, bytesPerS } = links.between(
      groups[a]!.members[0]!.machine,
      groups[b]!.members[0]!.machine,
    )
    return { delayS: delayMs / 1000, bytesPerS }
  })
  const devices = groups.map(({ accelerator }) => accelerator)
  return { degrees, groups, fleet: { devices, network, efficiency, format, groups: terms } }
}

/** Everything as often as there are accelerators; what the division costs is in the terms. */
function asOne(real: Accelerator, degrees: GroupDegrees): Accelerator {
  const size = sizeOf(degrees)
  if (size === 1) return { ...real }
  const times = (value: number | null) => (value === null ? null : value * size)
  return {
    ...real,
    name: `${size} × ${real.name}`,
    memoryGiB: real.memoryGiB * size,
    memoryGBs: real.memoryGBs * size,
    fp32Tflops: times(real.fp32Tflops),
    fp16Tflops: times(real.fp16Tflops),
    fp8Tflops: times(real.fp8Tflops),
    int8Tops: times(real.int8Tops),
  }
}

/**
 * What the division of layers costs. Tensor parallelism divides all states, context parallelism none, expert parallelism
 * those of experts.
 *
 * @see Shoeybi et al. 2019 (arXiv:1909.08053); Liu et al. 2023 (arXiv:2310.01889); Lepikhin et al. 2020 (arXiv:2006.16668)
 */
function termsOf(work: TrainingWork, degrees: GroupDegrees, link: LinkRate): GroupTerms {
  const { shape, microbatch, sequenceTokens } = work
  const { tensor, context, expert } = degrees
  const tokens = microbatch * sequenceTokens
  const sumMs = 4 * allReduceMs(tensor, (tokens / context / expert) * shape.hiddenSize * halfBytes, link)
  const kvBytes = (tokens / context) * 2 * ((shape.kvHeads * shape.headDim) / tensor) * halfBytes
  const ringMs =
    context === 1
      ? 0
      : ringPassesOfTraining * (context - 1) * (link.delayMs + (kvBytes / link.bytesPerS) * 1000)
  const routed =
    (tokens / context / expert / tensor) * (shape.experts?.used ?? 0) * shape.hiddenSize * halfBytes
  const expertMs =
    expert === 1
      ? 0
      : expertPassesOfTraining * (link.delayMs + ((routed * (expert - 1)) / expert / link.bytesPerS) * 1000)
  const layers = Array.from({ length: shape.layers }, (_, layer) => layer)
  const hasExperts = (layer: number) => shape.experts !== null && isExpertLayer(shape, layer)
  return {
    layerS: layers.map((layer) => (sumMs + ringMs + (hasExperts(layer) ? expertMs : 0)) / 1000),
    stateCopies: layers.map((layer) => {
      const share = hasExperts(layer) ? expertShare(shape, layer) : 0
      return context * (share + (1 - share) * expert)
    }),
  }
}

/** Of a layer's parameters, those of routed experts. */
const expertShare = (shape: ModelShape, layer: number): number =>
  expertParameters(shape, layer) / parameterCounts(shape).layers[layer]!.all

/** Bytes of each parameter; the optimiser keeps weights of its own in fp32 where they are fp16. */
export function stateBytesOf({ precision, optimiser }: TrainingJob): StateBytes {
  const half = precision === 'fp16'
  const moments = optimiser === 'adam' ? 8 : 0
  return { weights: half ? 2 : 4, gradients: half ? 2 : 4, optimiser: moments + (half ? 4 : 0) }
}
