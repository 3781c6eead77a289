import type { LayerGraph, Operator } from '../models/index.ts'
import { type Accelerator, type NumberFormat, peakFlops } from './accelerator.ts'

/** Share of the vendor's peaks that is reached, and what every operator costs besides. */
export interface Efficiency {
  readonly compute: number
  readonly memory: number
  readonly overheadMs: number
}

/** Of well-tuned kernels on large matrices; replaced by {@link fitEfficiency} where something was measured. */
export const assumedEfficiency: Efficiency = { compute: 0.5, memory: 0.8, overheadMs: 0 }

export interface OperatorTime {
  readonly kind: Operator['kind']
  readonly computeMs: number
  readonly memoryMs: number
  /** The longer of both and the overhead. */
  readonly timeMs: number
  readonly bound: 'compute' | 'memory'
}

export interface LayerTime {
  readonly layer: number | null
  readonly operators: readonly OperatorTime[]
  readonly timeMs: number
  /** What most of its time goes to. */
  readonly bound: 'compute' | 'memory'
}

/** How one device runs a layer: each operator as long as its arithmetic or its bytes take, whichever is longer. */
export function layerTime(
  graph: LayerGraph,
  device: Accelerator,
  {
    format = 'fp16',
    efficiency = assumedEfficiency,
  }: { format?: NumberFormat; efficiency?: Efficiency } = {},
): LayerTime {
  const operators = graph.operators.map((operator) => operatorTime(operator, device, format, efficiency))
  const sum = (times: readonly OperatorTime[]) => times.reduce((total, { timeMs }) => total + timeMs, 0)
  const inCompute = sum(operators.filter(({ bound }) => bound === 'compute'))
  const timeMs = sum(operators)
  return { layer: graph.layer, operators, timeMs, bound: inCompute * 2 >= timeMs ? 'compute' : 'memory' }
}

function operatorTime(
  operator: Operator,
  device: Accelerator,
  format: NumberFormat,
  efficiency: Efficiency,
): OperatorTime {
  const bytes = operator.weightBytes + operator.activationBytes + operator.kvBytes
  const computeMs = (operator.flops / (peakFlops(device, format) * efficiency.compute)) * 1e3
  const memoryMs = (bytes / (device.memoryGBs * 1e9 * efficiency.memory)) * 1e3
  return {
    kind: operator.kind,
    computeMs,
    memoryMs,
    timeMs: Math.max(computeMs, memoryMs) + efficiency.overheadMs,
    bound: computeMs >= memoryMs ? 'compute' : 'memory',
  }
}

/** FLOPs a byte at which a device's arithmetic and memory take equally long. */
export const ridge = (device: Accelerator, format: NumberFormat, efficiency = assumedEfficiency): number =>
  (peakFlops(device, format) * efficiency.compute) / (device.memoryGBs * 1e9 * efficiency.memory)
