import type { LayerRange, ModelConfig } from '@deos/domain'
import { Backend, PooledSequences, Stage, type StageOutput } from '@deos/engine'
import { Sampler } from '@deos/engine/sampling'
import { openModel, resolveStageWeights } from '@deos/engine/weights'
import { greedy } from './workload.ts'

export interface SingleProcessOptions {
  readonly modelPath: string
  readonly threads: number
  /** Consecutive stages in this process: one for throughput, the ring's to time its engines alone. */
  readonly layers: readonly LayerRange[]
  readonly sessions: number
  readonly tokensPerSession: number
  readonly cacheDir: string
}

const PAGE_TOKENS = 16

/** The same engine without a ring: all stages in this process, one after another, all sessions in one batch. */
export class SingleProcess {
  private readonly pages: PooledSequences

  private constructor(
    private readonly config: ModelConfig,
    private readonly backend: Backend,
    private readonly stages: readonly Stage[],
  ) {
    this.pages = new PooledSequences(stages.map(({ kv }) => kv.pages))
  }

  static async open(options: SingleProcessOptions): Promise<SingleProcess> {
    const source = await openModel(options.modelPath, { vocabulary: false })
    const { config } = source
    const backend = Backend.open({ threads: options.threads, inline: true })
    const pagesPerSession = Math.ceil(options.tokensPerSession / PAGE_TOKENS)
    const pageCount = Math.ceil((options.sessions * pagesPerSession) / PAGE_TOKENS) * PAGE_TOKENS
    const stages: Stage[] = []
    for (const layers of options.layers) {
      const place = { layers, embedding: layers.first === 0, head: layers.end === config.layers }
      const weights = await resolveStageWeights({
        source,
        ...place,
        type: 'native',
        cacheDir: options.cacheDir,
      })
      const kv = { type: 'F16', pageCount, pageTokens: PAGE_TOKENS } as const
      stages.push(await Stage.load(backend, { config, ...place, weights, kv, maxBatchTokens: 512 }))
    }
    return new SingleProcess(config, backend, stages)
  }

  /**
   * Greedy generation of `count` tokens for every prompt together.
   *
   * @returns milliseconds of each decode step, and the tokens of each prompt
   */
  async generate(prompts: readonly Int32Array[], count: number) {
    const samplers = prompts.map((prompt) => new Sampler(greedy, prompt, 0))
    const produced: number[][] = prompts.map(() => [])
    for (const session of prompts.keys()) this.pages.open(session)
    for (const [session, prompt] of prompts.entries()) {
      const { logits } = await this.forward([session], prompt)
      produced[session]!.push(samplers[session]!.sample(logits, prompt.length).token)
    }
    const stepsMs: number[] = []
    const all = [...prompts.keys()]
    for (let step = 1; step < count; step += 1) {
      const started = performance.now()
      const { logits } = await this.forward(
        all,
        Int32Array.from(produced, (tokens) => tokens.at(-1)!),
      )
      for (const session of all) {
        const row = logits.subarray(session * this.config.vocabSize, (session + 1) * this.config.vocabSize)
        const position = prompts[session]!.length + step
        produced[session]!.push(samplers[session]!.sample(row, position).token)
      }
      stepsMs.push(performance.now() - started)
    }
    this.pages.clear()
    return { stepsMs, tokens: produced }
  }

  close(): void {
    for (const stage of this.stages) stage.close()
    this.backend.close()
  }

  private async forward(sessions: readonly number[], tokens: Int32Array): Promise<StageOutput> {
    const count = tokens.length / sessions.length
    for (const session of sessions) this.pages.extend(session, count)
    let output: StageOutput | null = null
    for (const [index, stage] of this.stages.entries()) {
      const outputs = index === this.stages.length - 1 ? ('last' as const) : ('none' as const)
      const entries = sessions.map((sequence) => ({ sequence, count, outputs }))
      output = await stage.forward(output ? { entries, hidden: output.hidden } : { entries, tokens })
    }
    return output!
  }
}
