import type { ApiClient } from '@deos/sdk'

type InventoryBody = NonNullable<Parameters<ApiClient['worker']['inventory']>[0]['body']>
type BenchmarkBody = NonNullable<Parameters<ApiClient['worker']['benchmark']>[0]['body']>
export type Inventory = InventoryBody['inventory']
export type Benchmark = BenchmarkBody['benchmark']
export type DeviceInventory = Inventory['devices'][number]

/** A device as the tensor library reports it. */
export interface FoundDevice {
  readonly name: string
  readonly description: string
  readonly kind: 'cpu' | 'gpu'
  readonly memoryBytes: number
}

/** What a process that may be ended by native code is asked to find out; it answers with one JSON line. */
export type HardwareJob =
  | { readonly job: 'devices' }
  | {
      readonly job: 'benchmark'
      readonly devices: readonly { readonly name: string; readonly memoryBytes: number }[]
      readonly threads: number
      /** Whose disk is measured. */
      readonly folder: string
    }

export interface HardwareAnswers {
  readonly devices: { readonly library: string; readonly devices: readonly FoundDevice[] }
  readonly benchmark: Benchmark
}
