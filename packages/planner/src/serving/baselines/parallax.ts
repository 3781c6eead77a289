import type { LayerRange } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/** States of the dynamic programme after which more pipelines are not tried: it is exponential in unlike devices. */
const mostStates = 200_000
const waterRounds = 60

/**
 * Parallax' first phase (github.com/GradientHQ/parallax, scheduling/layer_allocation.py at 190660a): devices from the
 * largest on are dealt to k pipelines so that the fewest stages s(k) are needed, by dynamic programming over what open
 * pipelines still lack; k is the one with the largest k^2 / s(k). Inside a pipeline layers are proportional to the
 * devices' speed as far as they fit (water-filling, largest remainders), the largest device first. Devices left over
 * join one after the other where the layers are held least.
 *
 * Speed is the tokens/s of one layer. Null if the fleet cannot hold the model.
 */
export function parallaxPlacement(instance: FlowInstance): FlowPlacement | null {
  const { devices, layers } = instance
  const most = devices.map(({ tokensPerSecondByLayers: rates }) => Math.min(rates.length, layers))
  const order = devices.map((_, device) => device).sort((a, b) => most[b]! - most[a]! || a - b)
  const pipelines = bestPipelines(
    order.map((device) => most[device]!),
    layers,
  )
  if (pipelines === null) return null
  const placement = new Array<LayerRange | null>(devices.length).fill(null)
  const speed = (device: number) => devices[device]!.tokensPerSecondByLayers[0]!
  for (const members of pipelines) {
    const stages = members.map((at) => order[at]!)
    const counts = waterFill(
      stages.map((device) => most[device]!),
      stages.map(speed),
      layers,
    )
    let first = 0
    for (const [at, device] of stages.entries()) {
      if (counts[at]! > 0) placement[device] = { first, end: first + counts[at]! }
      first += counts[at]!
    }
  }
  joinLeftOver(instance, placement, order, most)
  return placement
}

/** Members of each pipeline as positions in `capacities`, which descend; null if there is no whole pipeline. */
function bestPipelines(capacities: readonly number[], layers: number): readonly (readonly number[])[] | null {
  const after = new Array<number>(capacities.length + 1).fill(0)
  for (let at = capacities.length - 1; at >= 0; at -= 1) after[at] = after[at + 1]! + capacities[at]!
  let best: readonly (readonly number[])[] | null = null
  let score = 0
  for (let target = 1; target * layers <= after[0]!; target += 1) {
    const dealt = new Deal(capacities, after, layers, target).run()
    if (dealt === 'too many states') break
    if (dealt === null) continue
    const stages = dealt.reduce((sum, members) => sum + members.length, 0)
    if (target ** 2 / stages <= score) continue
    score = target ** 2 / stages
    best = dealt
  }
  return best
}

interface Step {
  readonly stages: number
  /** Of the open pipelines, which takes the device; -1 opens one, -2 leaves the device out. */
  readonly to: number
}

/** Deals devices to a given number of pipelines with the fewest stages. */
class Deal {
  private readonly known = new Map<string, Step>()

  constructor(
    private readonly capacities: readonly number[],
    private readonly after: readonly number[],
    private readonly layers: number,
    private readonly target: number,
  ) {}

  run(): readonly (readonly number[])[] | null | 'too many states' {
    const { stages } = this.step(0, [], 0)
    if (this.known.size > mostStates) return 'too many states'
    return Number.isFinite(stages) ? this.retrace() : null
  }

  private step(at: number, open: readonly number[], finished: number): Step {
    if (finished === this.target && open.length === 0) return { stages: 0, to: -2 }
    const missing = this.target - finished - open.length
    const lacking = open.reduce((sum, each) => sum + each, 0) + missing * this.layers
    const hopeless = { stages: Number.POSITIVE_INFINITY, to: -2 }
    if (at === this.capacities.length || missing < 0 || this.after[at]! < lacking) return hopeless
    const key = `${at}/${finished}/${open.join()}`
    const found = this.known.get(key)
    if (found !== undefined) return found
    if (this.known.size > mostStates) return hopeless
    let best: Step = { stages: this.step(at + 1, open, finished).stages, to: -2 }
    for (const to of missing > 0 ? [...open.keys(), -1] : open.keys()) {
      if (to > 0 && open[to] === open[to - 1]) continue
      const [next, done] = this.given(at, open, to)
      const stages = 1 + this.step(at + 1, next, finished + done).stages
      if (stages < best.stages) best = { stages, to }
    }
    this.known.set(key, best)
    return best
  }

  /** What is open after a device went to a pipeline, and whether that is whole now. */
  private given(at: number, open: readonly number[], to: number): readonly [readonly number[], number] {
    const lacks = (to === -1 ? this.layers : open[to]!) - this.capacities[at]!
    const others = open.filter((_, index) => index !== to)
    return lacks <= 0 ? [others, 1] : [[...others, lacks].sort((a, b) => a - b), 0]
  }

  private retrace(): readonly (readonly number[])[] {
    const whole: (readonly number[])[] = []
    let open: readonly { readonly lacks: number; readonly members: readonly number[] }[] = []
    for (let at = 0; whole.length < this.target || open.length > 0; at += 1) {
      const { to } = this.step(
        at,
        open.map(({ lacks }) => lacks),
        whole.length,
      )
      if (to === -2) continue
      const taken = to === -1 ? { lacks: this.layers, members: [] } : open[to]!
      const grown = { lacks: taken.lacks - this.capacities[at]!, members: [...taken.members, at] }
      const others = open.filter((_, index) => index !== to)
      if (grown.lacks <= 0) whole.push(grown.members)
      open = grown.lacks <= 0 ? others : [...others, grown].sort((a, b) => a.lacks - b.lacks)
    }
    return whole
  }
}

/** Whole layers proportional to speeds, none above its capacity. */
export function waterFill(
  capacities: readonly number[],
  speeds: readonly number[],
  layers: number,
): readonly number[] {
  const share = (level: number) => capacities.map((capacity, at) => Math.min(capacity, level * speeds[at]!))
  let low = 0
  let high = Math.max(...capacities.map((capacity, at) => capacity / speeds[at]!))
  for (let round = 0; round < waterRounds; round += 1) {
    const middle = (low + high) / 2
    if (share(middle).reduce((sum, each) => sum + each, 0) >= layers) high = middle
    else low = middle
  }
  const target = share(high)
  const counts = target.map(Math.floor)
  let left = layers - counts.reduce((sum, each) => sum + each, 0)
  const byRemainder = target
    .map((each, at) => ({ at, remainder: each - counts[at]! }))
    .sort((a, b) => b.remainder - a.remainder || a.at - b.at)
  for (const { at } of [...byRemainder, ...byRemainder]) {
    if (left === 0) break
    if (counts[at]! >= capacities[at]!) continue
    counts[at]! += 1
    left -= 1
  }
  return counts
}

function joinLeftOver(
  { devices, layers }: FlowInstance,
  placement: (LayerRange | null)[],
  order: readonly number[],
  most: readonly number[],
): void {
  const held = new Array<number>(layers).fill(0)
  const hold = (device: number, { first, end }: LayerRange) => {
    const rate = devices[device]!.tokensPerSecondByLayers[end - first - 1]!
    for (let layer = first; layer < end; layer += 1) held[layer]! += rate
  }
  for (const [device, range] of placement.entries()) if (range !== null) hold(device, range)
  for (const device of order) {
    if (placement[device] !== null) continue
    const first = held.indexOf(Math.min(...held))
    const range = { first, end: Math.min(layers, first + most[device]!) }
    placement[device] = range
    hold(device, range)
  }
}
