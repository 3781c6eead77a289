import { bytes, bytesPerSecond, type MachineBenchmark, type MachineInventory } from '@deos/domain'

/** Machines of one make. */
export interface MachineKind {
  readonly gpu: string
  readonly gpuBytes: number
  /** What its memory reads in a second. */
  readonly gpuBytesPerSecond: number
  readonly count: number
}

/** Share of a fleet of each make; the rest are of the last one. */
const makes = [
  { gpu: 'Accelerator 80', gpuBytes: 80e9, gpuBytesPerSecond: 3.3e12, share: 0.12 },
  { gpu: 'Accelerator 64', gpuBytes: 64e9, gpuBytesPerSecond: 1.6e12, share: 0.24 },
  { gpu: 'Accelerator 48', gpuBytes: 48e9, gpuBytesPerSecond: 0.9e12, share: 0.64 },
] as const

/**
 * Sessions of 1,024 tokens for which one layer of `deos-7m` takes 17.2 GB of KV cache: of its eight layers, four fit
 * the largest make, three the next and two the smallest, and none fits a machine's own memory.
 */
export const sessionsPerReplica = 16_384

export function machineKinds(machines: number): readonly MachineKind[] {
  let left = machines
  return makes.map(({ share, ...make }, index) => {
    const count = index === makes.length - 1 ? left : Math.min(left, Math.round(machines * share))
    left -= count
    return { ...make, count }
  })
}

/** The kind of each machine, mixed: neighbours are seldom of one make. */
export function kindsInOrder(machines: number): readonly MachineKind[] {
  const left = machineKinds(machines).map((kind) => ({ kind, count: kind.count }))
  return Array.from({ length: machines }, (_, index) => {
    const due = left.map(({ kind, count }) => count - (kind.count * (machines - index - 1)) / machines)
    const next = left[due.indexOf(Math.max(...due))]!
    next.count -= 1
    return next.kind
  })
}

const weightTypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K', 'Q4_K', 'Q4_0', 'IQ4_NL', 'MXFP4'] as const
const hostBytes = 24e9

/** As an agent finds it. */
export const inventoryOf = (kind: MachineKind, hostname: string): MachineInventory => ({
  hostname,
  platform: 'linux',
  architecture: 'x64',
  cpuModel: 'AMD EPYC 9354P 32-Core Processor',
  cpuCores: 32,
  memoryBytes: bytes(hostBytes),
  diskFreeBytes: bytes(1.8e12),
  devices: [
    {
      name: 'CPU',
      description: 'AMD EPYC 9354P 32-Core Processor',
      kind: 'cpu',
      memoryBytes: bytes(hostBytes),
    },
    { name: 'CUDA0', description: kind.gpu, kind: 'gpu', memoryBytes: bytes(kind.gpuBytes) },
  ],
})

/** As an agent measures it: each type of weights on each device. */
export function benchmarkOf(kind: MachineKind): MachineBenchmark {
  const device = (name: string, readBytesPerSecond: number, hostBytesPerSecond: number | null) => ({
    device: name,
    weightBytesPerSecond: bytesPerSecond(readBytesPerSecond),
    flopsPerSecond: Object.fromEntries(
      weightTypes.map((type, index) => [type, readBytesPerSecond * (40 + 7.25 * index)]),
    ),
    hostBytesPerSecond: hostBytesPerSecond === null ? null : bytesPerSecond(hostBytesPerSecond),
  })
  return {
    devices: [device('CPU', 220e9, null), device('CUDA0', kind.gpuBytesPerSecond, 24.6e9)],
    diskReadBytesPerSecond: bytesPerSecond(3.1e9),
  }
}
