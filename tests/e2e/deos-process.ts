import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('../../dist/deos.mjs', import.meta.url))

export interface UpEvent {
  readonly event?: string
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string | null }
  readonly [field: string]: unknown
}

export interface ReadyEvent extends UpEvent {
  readonly url: string
  readonly model: string
  readonly gateway: { readonly pid: number }
  readonly workers: readonly {
    readonly worker: string
    readonly pid: number
    readonly layers: { readonly first: number; readonly end: number }
  }[]
}

/** A running command of `deos` that prints JSON lines, such as `serve`, `up` or `join`. */
export class DeosProcess {
  readonly events: UpEvent[] = []
  stderr = ''
  readonly exit: Promise<number | null>
  readonly #process: ChildProcess
  #changed: () => void = () => undefined

  /** @param home - `DEOS_HOME` of this run */
  constructor(
    home: string,
    words: readonly string[],
    readonly command = 'serve',
    env: Readonly<Record<string, string>> = {},
  ) {
    if (!existsSync(script)) throw new Error(`${script} does not exist. Run "npm run build" first.`)
    // What `join` runs prints nothing else.
    const json = command === 'join' ? [] : ['--json']
    this.#process = spawn(process.execPath, [script, command, ...json, ...words], {
      env: { ...process.env, DEOS_HOME: home, DEOS_API_KEY: '', DATABASE_URL: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let rest = ''
    this.#process.stdout!.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      this.events.push(...lines.map((line) => JSON.parse(line) as UpEvent))
      this.#changed()
    })
    this.#process.stderr!.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    this.exit = new Promise((resolve) => {
      this.#process.on('close', (code) => {
        resolve(code)
        this.#changed()
      })
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name)
  }

  /** The first event, among those after the first `skip`, that fits. @throws Error if the process ends before */
  async event(fits: (event: UpEvent) => boolean, skip = 0): Promise<UpEvent> {
    for (;;) {
      const found = this.events.slice(skip).find(fits)
      if (found) return found
      if (this.#process.exitCode !== null) throw new Error(`deos ${this.command} ended: ${this.stderr}`)
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  async ready(): Promise<ReadyEvent> {
    return (await this.event(({ event }) => event === 'ready')) as ReadyEvent
  }
}

/** Processes whose environment or arguments hold a text; Linux only, elsewhere `null`. */
export function processesWith(text: string): readonly number[] | null {
  if (!existsSync('/proc/self/environ')) return null
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        const state = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
        return state !== 'Z' && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
      } catch {
        return false
      }
    })
}
