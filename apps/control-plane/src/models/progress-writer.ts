import { bytesPerSecond } from '@deos/domain'
import type { ModelStore } from './model-store.ts'
import type { Report } from './model-work.ts'
import type { Progress, RegisteredModel } from './registered-model.ts'

const writeMs = 1000

type Reported = Parameters<Report>[0]

/** Writes how the work on a model goes, about once a second, and notices when the model is removed. */
export class ProgressWriter {
  readonly #removed = new AbortController()
  #latest: Reported | null = null
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> = Promise.resolve()
  #before: { readonly doneBytes: number; readonly atMs: number } | null = null
  #closed = false

  constructor(
    private readonly model: RegisteredModel,
    private readonly store: Pick<ModelStore, 'progress'>,
    private readonly now: () => Date,
  ) {}

  /** Aborts when there is no such model any more. */
  get removed(): AbortSignal {
    return this.#removed.signal
  }

  readonly report: Report = (now) => {
    if (this.#closed) return
    const first = this.#latest === null
    this.#latest = now
    if (first) this.#write()
    else this.#timer ??= setTimeout(() => this.#write(), writeMs)
  }

  /** Nothing is written after this. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer) clearTimeout(this.#timer)
    await this.#writing
  }

  #write(): void {
    this.#timer = null
    const latest = this.#latest!
    const progress = latest.progress && {
      ...latest.progress,
      bytesPerSecond: this.#rate(latest.progress.doneBytes),
    }
    this.#writing = this.#writing.then(async () => {
      // What cannot be written now is written with what comes next.
      const there = await this.store.progress(this.model, { ...latest, progress }).catch(() => true)
      if (!there) this.#removed.abort(new Error('The model was removed.'))
    })
  }

  #rate(doneBytes: number): Progress['bytesPerSecond'] {
    const atMs = this.now().getTime()
    const before = this.#before
    this.#before = { doneBytes, atMs }
    if (before === null || atMs <= before.atMs || doneBytes < before.doneBytes) return null
    return bytesPerSecond(((doneBytes - before.doneBytes) * 1000) / (atMs - before.atMs))
  }
}
