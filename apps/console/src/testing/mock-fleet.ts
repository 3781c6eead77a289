import type { ApiClient } from '@deos/sdk'

type Item<F> = F extends (...call: never[]) => Promise<{ readonly items: readonly (infer I)[] }> ? I : never
type Plain<T> = T extends string
  ? string
  : T extends number
    ? number
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T

export type MockMachine = Plain<Item<ApiClient['machines']['list']>>
type MachineState = Item<ApiClient['machines']['list']>['state']

const GiB = 1024 ** 3

/** Times that far from when the server began. */
export const clockAt = (nowMs: number) => ({
  ago: (minutes: number) => new Date(nowMs - minutes * 60_000).toISOString(),
  ahead: (minutes: number) => new Date(nowMs + minutes * 60_000).toISOString(),
})
export type Clock = ReturnType<typeof clockAt>

export const usd = (units: number) => ({ currency: 'USD', microUnits: String(Math.round(units * 1e6)) })

interface Seed {
  readonly name: string
  readonly region: string
  readonly provider: string
  readonly device: string
  readonly memoryGiB: number
  readonly price: number
  readonly state: MachineState
  readonly reason: string
}

const seeds: readonly Seed[] = [
  {
    name: 'hel-rack-1',
    region: 'eu-north',
    provider: 'own-rack',
    device: 'NVIDIA RTX 4090',
    memoryGiB: 24,
    price: 0.41,
    state: 'ready',
    reason: 'Heartbeats arrive and it was measured.',
  },
  {
    name: 'hel-rack-2',
    region: 'eu-north',
    provider: 'own-rack',
    device: 'NVIDIA RTX 4090',
    memoryGiB: 24,
    price: 0.41,
    state: 'ready',
    reason: 'Heartbeats arrive and it was measured.',
  },
  {
    name: 'sto-a6000',
    region: 'eu-north',
    provider: 'hyperdrive',
    device: 'NVIDIA RTX A6000',
    memoryGiB: 48,
    price: 0.62,
    state: 'ready',
    reason: 'Heartbeats arrive and it was measured.',
  },
  {
    name: 'fra-l40s',
    region: 'eu-central',
    provider: 'hyperdrive',
    device: 'NVIDIA L40S',
    memoryGiB: 48,
    price: 0.86,
    state: 'draining',
    reason: 'Replaced by newer cards on Friday.',
  },
  {
    name: 'ore-h100',
    region: 'us-west',
    provider: 'hyperdrive',
    device: 'NVIDIA H100 80GB HBM3',
    memoryGiB: 80,
    price: 2.19,
    state: 'ready',
    reason: 'Heartbeats arrive and it was measured.',
  },
  {
    name: 'vir-a100',
    region: 'us-east',
    provider: 'spotmarket',
    device: 'NVIDIA A100 40GB',
    memoryGiB: 40,
    price: 0.94,
    state: 'offline',
    reason: 'No heartbeat for 4 s; the lease ended.',
  },
  {
    name: 'mum-3090',
    region: 'ap-south',
    provider: 'spotmarket',
    device: 'NVIDIA RTX 3090',
    memoryGiB: 24,
    price: 0.22,
    state: 'ready',
    reason: 'Heartbeats arrive and it was measured.',
  },
  {
    name: 'syd-4080',
    region: 'au-southeast',
    provider: 'spotmarket',
    device: 'NVIDIA RTX 4080',
    memoryGiB: 16,
    price: 0.25,
    state: 'quarantined',
    reason: 'Measured 3.1 GiB/s where 700 GiB/s are usual for this card.',
  },
  {
    name: 'attic-macbook',
    region: 'home',
    provider: 'ada',
    device: 'Apple M3 Max',
    memoryGiB: 64,
    price: 0.05,
    state: 'benchmarking',
    reason: 'It is being measured, about 20 s more.',
  },
]

export const machineId = (name: string): string => `machine-${name}`

function machineOf(seed: Seed, index: number, { ago, ahead }: Clock): MockMachine {
  const isThere = seed.state !== 'offline'
  const isMeasured = seed.state !== 'benchmarking'
  const memoryBytes = seed.memoryGiB * GiB
  const device = seed.device.startsWith('Apple') ? 'Metal' : 'CUDA0'
  const promised = seed.state === 'ready' ? Math.round(memoryBytes * (0.35 + (index % 4) * 0.18)) : 0
  const holds = seed.state === 'ready' || seed.state === 'draining'
  return {
    id: machineId(seed.name),
    name: seed.name,
    location: { region: seed.region, provider: seed.provider },
    state: seed.state,
    reason: { message: seed.reason, since: ago(12 + index * 37) },
    cordon: seed.name === 'mum-3090' ? { reason: 'Night tariff only.', at: ago(300) } : null,
    drain: seed.state === 'draining' ? { reason: 'Replaced by newer cards on Friday.', at: ago(46) } : null,
    quarantines:
      seed.state === 'quarantined' ? [{ cause: 'benchmark', reason: seed.reason, at: ago(90) }] : [],
    version: '0.1.0',
    incarnation: 1 + (index % 3),
    pricePerHour: usd(seed.price),
    lease: { lastHeartbeatAt: isThere ? ago(0) : ago(17), expiresAt: isThere ? ahead(0.06) : ago(17) },
    inventory: {
      hostname: `${seed.name}.example.org`,
      platform: device === 'Metal' ? 'darwin' : 'linux',
      architecture: device === 'Metal' ? 'arm64' : 'x64',
      cpuModel: device === 'Metal' ? 'Apple M3 Max' : 'AMD EPYC 7443P 24-Core Processor',
      cpuCores: device === 'Metal' ? 16 : 24,
      memoryBytes: 128 * GiB,
      diskFreeBytes: 812 * GiB,
      devices: [
        { name: device, description: seed.device, kind: 'gpu', memoryBytes },
        { name: 'CPU', description: 'Host memory', kind: 'cpu', memoryBytes: 96 * GiB },
      ],
    },
    benchmark: isMeasured
      ? {
          devices: [
            {
              device,
              weightBytesPerSecond: seed.memoryGiB * 24 * GiB,
              flopsPerSecond: {
                F16: seed.memoryGiB * 2.4e12,
                Q8_0: seed.memoryGiB * 3.1e12,
                Q4_K: seed.memoryGiB * 2.9e12,
              },
              hostBytesPerSecond: 22.4 * GiB,
            },
            {
              device: 'CPU',
              weightBytesPerSecond: 61 * GiB,
              flopsPerSecond: { F16: 9.2e11 },
              hostBytesPerSecond: null,
            },
          ],
          diskReadBytesPerSecond: 2.9 * GiB,
        }
      : null,
    benchmarkedAt: isMeasured ? ago(60 * 26) : null,
    load: isThere
      ? {
          cpuFraction: 0.12 + (index % 5) * 0.11,
          memoryUsedBytes: Math.round((18 + index * 3) * GiB),
          devices: [
            { device, promisedBytes: promised, memoryBytes },
            { device: 'CPU', promisedBytes: 0, memoryBytes: 96 * GiB },
          ],
        }
      : null,
    stages: holds
      ? [{ stageId: `stage-${seed.name}`, replicaId: 'replica-chat-1', deploymentId: 'deployment-chat' }]
      : [],
    joinedAt: ago(60 * 24 * (3 + index)),
  }
}

export const machinesAt = (clock: Clock): readonly MockMachine[] =>
  seeds.map((seed, index) => machineOf(seed, index, clock))
