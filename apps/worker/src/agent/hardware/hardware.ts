import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, rename, statfs, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, hostname, totalmem } from 'node:os'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import { benchmarkSchema } from '@deos/sdk'
import si from 'systeminformation'
import { z } from 'zod'
import type { Benchmark, FoundDevice, HardwareAnswers, HardwareJob, Inventory } from './hardware-job.ts'

/** The process that looks at the hardware did not answer. */
export class HardwareError extends DomainError {
  readonly code = 'HARDWARE'
  readonly retriable = true
}

export interface HardwareOptions {
  /** Built entry of the process that loads native code. */
  readonly script: string
  /** Of the machine: results are kept there, and its disk is measured. */
  readonly folder: string
  /** The only one to offer; null offers all. */
  readonly device: string | null
  readonly memoryLimitBytes: number | null
  readonly threads: number
  readonly speed: number
}

const DEVICES_LIMIT_MS = 30_000
const BENCHMARK_LIMIT_MS = 60_000
const GiB = 2 ** 30
/** The rest is for the system and for what is not a stage. */
const OFFERED_SHARE = 3 / 4
/** Of a device's memory, for measuring it. */
const MEASURING_SHARE = 1 / 8
const BENCHMARK_VALID_MS = 7 * 24 * 3_600_000

interface Kept {
  readonly hardware: string
  readonly measuredAtMs: number
  readonly benchmark: Benchmark
}

const keptSchema = z.object({ hardware: z.string(), measuredAtMs: z.number(), benchmark: benchmarkSchema })

/** What this machine consists of and how fast it is. Native code runs in processes of its own. */
export class Hardware {
  #library = ''
  #measured = false

  constructor(private readonly options: HardwareOptions) {}

  /**
   * Equal from start to start as long as nothing is changed, but for the free disk space.
   *
   * @throws HardwareError if devices cannot be listed, or the wanted one is not there
   */
  async inventory(): Promise<Inventory> {
    const { library, devices } = await this.#ask({ job: 'devices' }, DEVICES_LIMIT_MS)
    this.#library = library
    const { device, memoryLimitBytes, folder } = this.options
    const offered = devices.filter(({ name }) => device === null || name === device)
    if (offered.length === 0) {
      const names = devices.map(({ name }) => name).join(', ')
      throw new HardwareError(
        `This computer has no device ${device}.`,
        `Choose one of ${names} with --device.`,
      )
    }
    const presentBytes = Math.min(totalmem(), process.constrainedMemory() || totalmem())
    const memoryBytes = Math.min(presentBytes, memoryLimitBytes ?? presentBytes)
    const hostBytes = Math.min(presentBytes, memoryLimitBytes ?? Math.floor(presentBytes * OFFERED_SHARE))
    const { bavail, bsize } = await statfs(folder)
    return {
      hostname: line(hostname(), 253, 'unnamed'),
      platform: process.platform,
      architecture: process.arch,
      cpuModel: line(await cpuModel(), 200, process.arch),
      cpuCores: availableParallelism(),
      memoryBytes,
      diskFreeBytes: Math.floor((bavail * bsize) / GiB) * GiB,
      devices: offered.map((found) => describe(found, hostBytes)),
    }
  }

  /**
   * Measures, or remembers the last measurement of the same hardware; asked a second time it measures anew.
   *
   * @throws HardwareError if a device or the disk cannot be measured
   */
  async benchmark(inventory: Inventory): Promise<Benchmark> {
    const hardware = this.#digest(inventory)
    const kept = this.#measured ? null : await this.#kept(hardware)
    this.#measured = true
    if (kept !== null) return kept
    const benchmark = this.#scaled(
      await this.#ask(
        {
          job: 'benchmark',
          threads: this.options.threads,
          folder: this.options.folder,
          devices: inventory.devices.map(({ name, memoryBytes }) => ({
            name,
            memoryBytes: Math.floor(memoryBytes * MEASURING_SHARE),
          })),
        },
        BENCHMARK_LIMIT_MS,
      ),
    )
    await this.#keep({ hardware, measuredAtMs: Date.now(), benchmark })
    return benchmark
  }

  /** A stage that uses half the speed takes twice as long for each step; disks and buses do not. */
  #scaled(benchmark: Benchmark): Benchmark {
    const { speed } = this.options
    const devices = benchmark.devices.map((device) => ({
      ...device,
      weightBytesPerSecond: device.weightBytesPerSecond * speed,
      flopsPerSecond: Object.fromEntries(
        Object.entries(device.flopsPerSecond).map(([type, flops]) => [type, flops * speed]),
      ),
    }))
    return { ...benchmark, devices }
  }

  #digest({ hostname: _, diskFreeBytes: __, ...inventory }: Inventory): string {
    const { threads, speed } = this.options
    const described = JSON.stringify([this.#library, threads, speed, inventory])
    return createHash('sha256').update(described).digest('hex')
  }

  get #keptPath(): string {
    return join(this.options.folder, 'benchmark.json')
  }

  async #kept(hardware: string): Promise<Benchmark | null> {
    const text = await readFile(this.#keptPath, 'utf8').catch(() => null)
    const { data } = keptSchema.safeParse(text === null ? null : parse(text))
    const ageMs = Date.now() - (data?.measuredAtMs ?? 0)
    const valid = data?.hardware === hardware && ageMs >= 0 && ageMs < BENCHMARK_VALID_MS
    return valid ? data.benchmark : null
  }

  async #keep(kept: Kept): Promise<void> {
    const draft = `${this.#keptPath}.new`
    await writeFile(draft, JSON.stringify(kept), { mode: 0o600 })
    await rename(draft, this.#keptPath)
  }

  #ask<J extends HardwareJob>(job: J, limitMs: number): Promise<HardwareAnswers[J['job']]> {
    return new Promise((resolve, reject) => {
      const settings = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 2 ** 20 } as const
      execFile(
        process.execPath,
        [this.options.script, JSON.stringify(job)],
        settings,
        (cause, stdout, stderr) => {
          const answer = cause === null ? parse(stdout) : undefined
          if (answer !== undefined) resolve(answer as HardwareAnswers[J['job']])
          else reject(failure(job.job, cause, stderr, limitMs))
        },
      )
    })
  }
}

function failure(
  job: HardwareJob['job'],
  cause: { signal?: string | null; killed?: boolean } | null,
  stderr: string,
  limitMs: number,
): HardwareError {
  const what =
    job === 'devices' ? 'The devices of this computer cannot be listed' : 'This computer cannot be measured'
  const last = stderr
    .split('\n')
    .filter((each) => /Error|abort|assert/i.test(each))
    .at(0)
    ?.trim()
  const why =
    cause?.killed === true
      ? `no answer within ${limitMs / 1000} s`
      : (last ?? `ended by ${cause?.signal ?? 'itself'}`)
  return new HardwareError(`${what}: ${why}.`, 'See "deos doctor"; another --device may work.', { cause })
}

/** What a host's memory holds is shared by all; other devices have their own. */
const describe = ({ name, description, kind, memoryBytes }: FoundDevice, hostBytes: number) => ({
  name,
  description: line(description, 200, name),
  kind,
  memoryBytes: kind === 'cpu' ? hostBytes : memoryBytes,
})

async function cpuModel(): Promise<string> {
  const { manufacturer, brand } = await si.cpu()
  const name = `${manufacturer} ${brand}`.trim()
  return name === '' ? (cpus()[0]?.model ?? '') : name
}

/** One line of what a system says of itself. */
function line(text: string, longest: number, fallback: string): string {
  const plain = text
    .replace(/[\p{Cc}\p{Cs}\p{Cf}\u2028\u2029]/gu, ' ')
    .trim()
    .slice(0, longest)
  return plain === '' ? fallback : plain
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
