import { EmulatorProcess } from '../wan/emulator-process.ts'
import type { LineProcess } from './line-process.ts'
import { DECODE_SITE, PREFILL_SITE, profileOf, type SplitCell } from './split-cell.ts'
import { SplitGateway } from './split-gateway.ts'
import { WorkerRing, type WorkerRingOptions } from './worker-ring.ts'

export interface SplitLabOptions {
  readonly wanEntry: string
  readonly workerEntry: string
  readonly gatewayEntry: string
  readonly modelPath: string
  readonly cacheDir: string
  readonly prefillEnds: readonly number[]
  readonly decodeEnds: readonly number[]
  /** Positions of a chunk of a prompt, and of a block. */
  readonly chunkTokens: number
  readonly contextLength: number
}

/** What one stage sent, by its own count. */
export interface SentCount {
  readonly blocks: number
  readonly again: number
  readonly bytes: number
}

export interface HandoverTimes {
  readonly text: string
  /** What the gateway said of it. */
  readonly note: string
  /** From the last stage's last step until the decode ring owned the session; 0 if it did before. */
  readonly exposedMs: number
  /** From the request until the first stage was through with the prompt. */
  readonly firstStageMs: number
  readonly sent: readonly SentCount[]
  /** Blocks that came at a stage that it had. */
  readonly cameAgain: number
  /** That came out of the way meanwhile, from the prefill site to the decode site. */
  readonly deliveredBytes: number
}

/** Two rings with an emulated network between them. */
export class SplitLab {
  private constructor(
    private readonly emulator: EmulatorProcess,
    private readonly prefill: WorkerRing,
    private readonly decode: WorkerRing,
    private readonly gateway: SplitGateway,
  ) {}

  /** @param speed - share of the machine's speed that the prefill ring uses */
  static async start(options: SplitLabOptions, cell: SplitCell, speed: number): Promise<SplitLab> {
    const emulator = await EmulatorProcess.start(options.wanEntry, profileOf(cell))
    const [prefillPlace, decodePlace, gatewayPlace] = emulator.sites
    const { modelPath, gatewayEntry, chunkTokens: blockTokens } = options
    const ring = (name: string, more: Pick<WorkerRingOptions, 'ends' | 'speed' | 'place'>): WorkerRing =>
      new WorkerRing({ ...options, name, ...more })
    const prefill = ring('prefill', { ends: options.prefillEnds, speed, place: prefillPlace! })
    const decode = ring('decode', { ends: options.decodeEnds, speed: 1, place: decodePlace! })
    try {
      await Promise.all([prefill.start(), decode.start()])
      const proxy = gatewayPlace!.proxy
      const gateway = new SplitGateway({ gatewayEntry, modelPath, decode, prefill, blockTokens, proxy })
      await gateway.start()
      return new SplitLab(emulator, prefill, decode, gateway)
    } catch (error) {
      await Promise.all([prefill.stop(), decode.stop()])
      await emulator.stop()
      throw error
    }
  }

  /** @param killAfterBytes - the connections that carry KV are cut when that many bytes more have come */
  async handOver(
    prompt: readonly number[],
    maxTokens: number,
    killAfterBytes: number | null = null,
  ): Promise<HandoverTimes> {
    const workers = [...this.prefill.workers, ...this.decode.workers]
    const marks = new Map(workers.map((worker) => [worker, worker.log.length]))
    const before = await this.#delivered()
    if (killAfterBytes !== null) {
      this.emulator.order({
        ...{ action: 'kill', from: PREFILL_SITE, to: DECODE_SITE, afterBytes: killAfterBytes },
      })
    }
    const beganMs = Date.now()
    const { text, note } = await this.gateway.answer(prompt, maxTokens)
    const since = (worker: LineProcess, pattern: RegExp) => noted(worker, marks.get(worker)!, pattern)
    const computed = await Promise.all(
      this.prefill.workers.map((worker) => since(worker, /^Prompt \S+ is (computed|handed over before)/)),
    )
    const owned = await since(this.decode.workers[0]!, /^Prompt \S+ is taken over/)
    const sent = await Promise.all(
      this.prefill.workers.map((worker) =>
        since(worker, /^Sent (\d+) blocks of \S+, (\d+) again, (\d+) bytes/),
      ),
    )
    const came = await Promise.all(
      this.decode.workers.map((worker) => since(worker, /^Took \d+ blocks of \S+, (\d+) again/)),
    )
    return {
      ...{ text, note, deliveredBytes: (await this.#delivered()) - before },
      firstStageMs: computed[0]!.atMs - beganMs,
      exposedMs: Math.max(0, owned.atMs - computed.at(-1)!.atMs),
      sent: sent.map(({ found }) => ({
        ...{ blocks: Number(found[1]), again: Number(found[2]), bytes: Number(found[3]) },
      })),
      cameAgain: came.reduce((sum, { found }) => sum + Number(found[1]), 0),
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.gateway.stop(), this.prefill.stop(), this.decode.stop()])
    await this.emulator.stop()
  }

  async #delivered(): Promise<number> {
    const pairs = await this.emulator.traffic()
    return pairs.find(({ from, to }) => from === PREFILL_SITE && to === DECODE_SITE)?.deliveredBytes ?? 0
  }
}

/** Logs come right after answers; one that does not come tells of a hand-over that failed. */
const LOG_PATIENCE_MS = 30_000

/** The first line behind `mark` of a worker's log that fits. @throws Error with what it said instead */
async function noted(worker: LineProcess, mark: number, pattern: RegExp) {
  const patience = setTimeout(() => {
    const said = worker.log.slice(mark).map(({ msg }) => String(msg))
    worker.giveUp(`A worker does not say ${pattern}, but: ${said.join(' | ')}`)
  }, LOG_PATIENCE_MS)
  try {
    const line = await worker.logged(
      (candidate) => worker.log.indexOf(candidate) >= mark && pattern.test(String(candidate.msg)),
    )
    return { atMs: Date.parse(String(line.time)), found: pattern.exec(String(line.msg))! }
  } finally {
    clearTimeout(patience)
  }
}
