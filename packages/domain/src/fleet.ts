import type { MachineId, StageId } from './ids.ts'
import type { LayerRange } from './layers.ts'
import type { Bytes, BytesPerSecond, Milliseconds } from './units.ts'

/** What computes in a machine: a GPU, or all its CPU cores together. */
export interface DeviceInventory {
  /** As the engine names it: `CPU`, `CUDA0`, `Vulkan0`, … */
  readonly name: string
  readonly description: string
  readonly kind: 'cpu' | 'gpu'
  readonly memoryBytes: Bytes
}

/** What a machine says it consists of. */
export interface MachineInventory {
  readonly hostname: string
  /** As Node names them: `linux`, `darwin`, `win32`; `x64`, `arm64`. */
  readonly platform: string
  readonly architecture: string
  readonly cpuModel: string
  readonly cpuCores: number
  readonly memoryBytes: Bytes
  readonly diskFreeBytes: Bytes
  readonly devices: readonly DeviceInventory[]
}

/** What was measured of one device. */
export interface DeviceBenchmark {
  readonly device: string
  /** Bytes of weights read each second while one sequence decodes. */
  readonly weightBytesPerSecond: BytesPerSecond
  /** Multiplications and additions each second in matrix products of a long prompt, by weight type: `F16`, `Q8_0`, … */
  readonly flopsPerSecond: Readonly<Record<string, number>>
  /** Between host memory and the device's; `null` where they are the same. */
  readonly hostBytesPerSecond: BytesPerSecond | null
}

/** What was measured of a machine when it joined. */
export interface MachineBenchmark {
  readonly devices: readonly DeviceBenchmark[]
  readonly diskReadBytesPerSecond: BytesPerSecond
}

/** A measured way from one machine to another. */
export interface Link {
  readonly from: MachineId
  readonly to: MachineId
  readonly roundTripMs: Milliseconds
  readonly bytesPerSecond: BytesPerSecond
}

/** Where a machine stands and who runs it; free text chosen by operators, compared for equality. */
export interface MachineLocation {
  readonly region: string
  readonly provider: string
}

/** One device of a machine that could hold a stage now. */
export interface PlacementCandidate {
  readonly machine: MachineId
  readonly device: string
  readonly location: MachineLocation
  /** For weights and KV. The reconciler takes off what it promised to stages itself. */
  readonly freeBytes: Bytes
  readonly benchmark: DeviceBenchmark
}

/** What a placement may be chosen from. */
export interface FleetSnapshot {
  readonly candidates: readonly PlacementCandidate[]
  /** Pairs that are missing were not measured. */
  readonly links: readonly Link[]
}

/** A stage of a replica where it was placed. */
export interface PlacedStage {
  readonly id: StageId
  readonly machine: MachineId
  readonly device: string
  readonly layers: LayerRange
  /** Promised to the stage: its weights and its share of the KV cache. */
  readonly weightBytes: Bytes
  readonly kvBytes: Bytes
}
