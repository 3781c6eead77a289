import { type ChildProcess, fork } from 'node:child_process'
import { DomainError } from '@deos/domain'

/** Names the part that a process of a bench is; the bench itself is none. */
export const partVariable = 'DEOS_BENCH_PART'

interface Call {
  readonly id: number
  readonly name: string
  readonly given: unknown
}

type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly problem: string }

/** What a part does when it is asked to; what is given and given back travels as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: each part's own functions say what they take
export type PartCalls = Readonly<Record<string, (given: any) => unknown>>

export class PartFailedError extends DomainError {
  readonly code = 'BENCH_PART_FAILED'
  readonly retriable = true
}

/** A process of a bench beside the one that measures, so that what each of them costs can be told apart. */
export class PartProcess<Calls extends PartCalls> {
  readonly #child: ChildProcess
  readonly #open = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  #last = 0
  readonly #kill = () => {
    this.#child.kill('SIGKILL')
  }

  /** @param entry - the bench's own file, which calls {@link servePart} if it is started as a part */
  constructor(
    private readonly part: string,
    entry: string,
  ) {
    this.#child = fork(entry, [], {
      env: { ...process.env, [partVariable]: part },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    process.on('exit', this.#kill)
    this.#child.on('message', (answer) => this.#answered(answer as Answer))
    this.#child.once('exit', (code, signal) => {
      process.off('exit', this.#kill)
      const reason = new PartFailedError(
        `The ${part} of the bench ended with ${signal ?? `code ${code}`}.`,
        '',
      )
      for (const { reject } of this.#open.values()) reject(reason)
      this.#open.clear()
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** @throws PartFailedError with what went wrong there */
  call<Name extends keyof Calls & string>(
    name: Name,
    ...[given]: Parameters<Calls[Name]>
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve: (result) => resolve(result as never), reject })
      this.#child.send({ id, name, given } satisfies Call)
    })
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve()
      this.#child.once('exit', () => resolve())
      this.#kill()
    })
  }

  #answered(answer: Answer): void {
    const waiting = this.#open.get(answer.id)
    this.#open.delete(answer.id)
    if ('result' in answer) waiting?.resolve(answer.result)
    else waiting?.reject(new PartFailedError(`The ${this.part} of the bench failed: ${answer.problem}`, ''))
  }
}

/** Does what the bench asks for, until the bench is gone. */
export function servePart(calls: PartCalls): void {
  const answer = (message: Answer) => {
    if (process.connected) process.send!(message)
  }
  process.on('message', (message) => {
    const { id, name, given } = message as Call
    Promise.resolve()
      .then(() => calls[name]!(given))
      .then(
        (result) => answer({ id, result: result ?? null }),
        (error: unknown) => answer({ id, problem: error instanceof Error ? error.message : String(error) }),
      )
  })
  // The bench ends its parts itself, also when both are interrupted from a terminal.
  process.on('SIGINT', () => undefined)
  process.once('disconnect', () => process.exit())
}
