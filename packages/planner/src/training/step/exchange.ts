import { type DeviceNetwork, transferS } from '../network.ts'
import type { LayerCosts } from './layer-costs.ts'
import type { StepOptions, TrainingStage } from './plan.ts'
import { mixedAdam } from './work.ts'

/** ZeRO-3: weights are gathered for the forward and again for the backward pass of every microbatch. */
export function gatherSeconds(
  { fleet: { network }, work, parameters }: LayerCosts,
  { first, end, devices }: TrainingStage,
  { zeroStage = 0 }: StepOptions,
): number {
  const members = devices.length
  if (zeroStage < 3 || members === 1) return 0
  const partBytes =
    ((parameters[end]! - parameters[first]!) * (work.stateBytes ?? mixedAdam).weights) / members
  const stepS = devices.map((device, at) => {
    const pair = device * network.devices + devices[(at + 1) % members]!
    return network.delayS[pair]! + partBytes / network.bytesPerS[pair]!
  })
  return 2 * (members - 1) * Math.max(...stepS)
}

/** Seconds of one exchange, spread over the steps between two; `Infinity` for one that these devices cannot make. */
export function exchangeSeconds(
  costs: LayerCosts,
  { first, end, devices }: TrainingStage,
  options: StepOptions,
): number {
  if (devices.length === 1) return 0
  const bytes = (costs.parameters[end]! - costs.parameters[first]!) * options.gradientBytesPerParameter
  return sumS[options.exchange](costs.fleet.network, devices, bytes) / options.stepsPerExchange
}

type SumSeconds = (network: DeviceNetwork, devices: readonly number[], bytes: number) => number

/** Each member owns a part: it is sent to its owner and, summed, back, one after the other. */
const shardedS: SumSeconds = (network, devices, bytes) => {
  const part = bytes / devices.length
  return Math.max(
    ...devices.map((device) =>
      devices.reduce(
        (sum, other) => (other === device ? sum : sum + 2 * transferS(network, device, other, part)),
        0,
      ),
    ),
  )
}

/** The same with all messages on their way at once: a device's bytes still go one after the other, delays do not. */
const directS: SumSeconds = (network, devices, bytes) => {
  const part = bytes / devices.length
  return Math.max(
    ...devices.map((device) => {
      const pairs = devices
        .filter((other) => other !== device)
        .map((other) => device * network.devices + other)
      const sendS = pairs.reduce((sum, pair) => sum + part / network.bytesPerS[pair]!, 0)
      return 2 * (sendS + Math.max(...pairs.map((pair) => network.delayS[pair]!)))
    }),
  )
}

const ringS: SumSeconds = (network, devices, bytes) =>
  2 * (devices.length - 1) * lapS(network, devices, bytes)

/** One part of as many as there are members goes to the next member, everywhere at once. */
const lapS: SumSeconds = (network, devices, bytes) =>
  Math.max(
    ...devices.map((device, at) =>
      transferS(network, device, devices[(at + 1) % devices.length]!, bytes / devices.length),
    ),
  )

/**
 * Members that the quickest links join sum first, each a part; parts are summed between those groups; and the sums are
 * gathered inside again.
 */
const regionalS: SumSeconds = (network, devices, bytes) => {
  const groups = nearGroups(network, devices)
  const size = groups[0]!.length
  if (groups.length === 1 || size === 1 || groups.some((group) => group.length !== size)) {
    return Number.POSITIVE_INFINITY
  }
  const insideS = 2 * (size - 1) * Math.max(...groups.map((group) => lapS(network, group, bytes)))
  const betweenS = Array.from({ length: size }, (_, place) => {
    const peers = groups.map((group) => group[place]!)
    return Math.min(ringS(network, peers, bytes / size), directS(network, peers, bytes / size))
  })
  return insideS + Math.max(...betweenS)
}

const sumS: Readonly<Record<StepOptions['exchange'], SumSeconds>> = {
  sharded: shardedS,
  direct: directS,
  ring: ringS,
  regional: regionalS,
}

/** Devices with links among them as quick as any between them all, in their order. */
function nearGroups(network: DeviceNetwork, devices: readonly number[]): readonly (readonly number[])[] {
  const rate = (a: number, b: number) => network.bytesPerS[a * network.devices + b]!
  let quickest = 0
  for (const a of devices) for (const b of devices) if (a !== b) quickest = Math.max(quickest, rate(a, b))
  const groups: number[][] = []
  for (const device of devices) {
    const near = groups.find(([leader]) => rate(leader!, device) >= quickest)
    if (near === undefined) groups.push([device])
    else near.push(device)
  }
  return groups
}
