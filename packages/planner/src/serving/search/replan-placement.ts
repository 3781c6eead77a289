import type { LayerRange, Random } from '@deos/domain'
import { flowBounds } from '../flow/flow-bounds.ts'
import {
  checkFlowInstance,
  checkFlowPlacement,
  type FlowInstance,
  type FlowPlacement,
} from '../flow/flow-instance.ts'
import { Annealer } from './annealer.ts'
import { FlowEvaluator } from './flow-evaluator.ts'
import { thresholdChain } from './threshold-chain.ts'

export interface PlacementReplanning {
  /** Placements to evaluate in all. */
  readonly evaluations: number
  readonly random: Random
  readonly shouldStop?: () => boolean
}

export interface ReplannedPlacement {
  readonly placement: FlowPlacement
  readonly tokensPerSecond: number
  readonly upperBound: number
  /** Layers that devices hold now and did not before: what has to be sent and loaded. */
  readonly loadedLayers: number
}

/** A way to serve that loads fewer layers is taken if it loses no more than this share of the flow. */
const worthMoving = 0.02
const hot = 0.05
const slice = 50

/**
 * A placement after the fleet has changed, starting at the one before, much faster than a search from nothing: devices
 * that have gone are left out of the instance, those that are new hold nothing in `previous`. Between placements of
 * nearly the same flow the one that loads fewer layers is taken.
 *
 * @throws ServingInstanceError if the instance or the placement makes no sense
 */
export function replanPlacement(
  instance: FlowInstance,
  previous: FlowPlacement,
  { evaluations, random, shouldStop }: PlacementReplanning,
): ReplannedPlacement {
  checkFlowInstance(instance)
  checkFlowPlacement(instance, previous)
  const upperBound = flowBounds(instance).best
  const evaluator = new FlowEvaluator(instance)
  const starts = [previous, patched(instance, previous), inOrder(instance, previous)]
  const walks = starts
    .filter((start) => start !== null)
    .map((start) => ({ start, walk: new Annealer(evaluator, start, random, upperBound) }))
  const budget = Math.max(slice, Math.floor(evaluations / walks.length))
  for (const { walk } of walks) {
    walk.heat(hot)
    for (let spent = 0; spent < budget && shouldStop?.() !== true; spent += slice) {
      walk.step(slice, spent / budget, Math.min(1, (spent + slice) / budget))
    }
  }
  const found = walks.flatMap(({ start, walk }) => {
    const first = Int32Array.from(start, (range) => range?.first ?? 0)
    const end = Int32Array.from(start, (range) => range?.end ?? 0)
    return [
      { placement: start, tokensPerSecond: evaluator.flow(first, end) },
      { placement: walk.bestPlacement(), tokensPerSecond: walk.bestFlow },
    ]
  })
  const most = Math.max(...found.map(({ tokensPerSecond }) => tokensPerSecond))
  return found
    .filter(({ tokensPerSecond }) => tokensPerSecond >= most * (1 - worthMoving))
    .map((each) => ({ ...each, upperBound, loadedLayers: loadedLayers(previous, each.placement) }))
    .reduce((a, b) => (b.loadedLayers < a.loadedLayers ? b : a))
}

function loadedLayers(before: FlowPlacement, after: FlowPlacement): number {
  return after.reduce((sum, range, device) => {
    if (range === null) return sum
    const old = before[device]
    const kept = old ? Math.max(0, Math.min(range.end, old.end) - Math.max(range.first, old.first)) : 0
    return sum + range.end - range.first - kept
  }, 0)
}

/** Layers that nobody holds any more are given, as far as they fit, to devices that hold nothing or the most copied. */
function patched({ devices, layers }: FlowInstance, previous: FlowPlacement): FlowPlacement {
  const placement: (LayerRange | null)[] = [...previous]
  for (;;) {
    const copies = new Array<number>(layers).fill(0)
    for (const range of placement) {
      if (range !== null) for (let layer = range.first; layer < range.end; layer += 1) copies[layer]! += 1
    }
    const first = copies.indexOf(0)
    if (first < 0) return placement
    let end = first
    while (end < layers && copies[end] === 0) end += 1
    let chosen = -1
    for (const [device, range] of placement.entries()) {
      const room = devices[device]!.tokensPerSecondByLayers.length
      const spared = range === null || copies.slice(range.first, range.end).every((count) => count > 1)
      if (!spared) continue
      const better = chosen < 0 || room > devices[chosen]!.tokensPerSecondByLayers.length
      if (better) chosen = device
    }
    if (chosen < 0) return placement
    const room = devices[chosen]!.tokensPerSecondByLayers.length
    placement[chosen] = { first, end: Math.min(end, first + room) }
  }
}

/** One pipeline over the devices in the order of their layers, those without any at the end. */
function inOrder(instance: FlowInstance, previous: FlowPlacement): FlowPlacement | null {
  const place = (device: number) => previous[device]?.first ?? instance.layers
  const order = instance.devices.map((_, device) => device).sort((a, b) => place(a) - place(b) || a - b)
  return thresholdChain(instance, order)
}
