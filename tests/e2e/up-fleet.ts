import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type ApiClient, connect } from '@deos/sdk'
import { DeosProcess, processesWith, type UpEvent } from './deos-process.ts'

const script = fileURLToPath(new URL('../../dist/deos.mjs', import.meta.url))

interface UpReady extends UpEvent {
  readonly controlUrl: string
  readonly gatewayUrl: string
  readonly setupUrl: string | null
  readonly model: string
  readonly deployment: string
  readonly pids: Readonly<Record<string, number>>
  readonly account: string
  readonly logs: string
}

export interface Told {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Run {
  readonly up: DeosProcess
  readonly ready: UpReady
  /** With the key that `deos up` made. */
  readonly client: ApiClient
}

async function startIn(
  home: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const up = new DeosProcess(home, ['--port', '0', '--control-port', '0', ...words], 'up', env)
  try {
    const ready = (await up.event(({ event }) => event === 'ready')) as UpReady
    const { url, key } = JSON.parse(readFileSync(ready.account, 'utf8')) as { url: string; key: string }
    return { up, ready, client: connect({ url, token: key }) }
  } catch (error) {
    await endAndForget(up, home)
    throw error
  }
}

/** A system of `deos up` on ports of its own, and the commands that people give it from other terminals. */
export class UpFleet {
  readonly #joined: DeosProcess[] = []
  #run: Run

  private constructor(
    /** `DEOS_HOME` of `deos up`. */
    readonly home: string,
    run: Run,
  ) {
    this.#run = run
  }

  /** @param setup - variables of its environment besides those of the tests */
  static async start(setup: {
    readonly ephemeral: boolean
    readonly env?: Readonly<Record<string, string>>
    /** Further flags. */
    readonly words?: readonly string[]
  }): Promise<UpFleet> {
    const home = mkdtempSync(join(tmpdir(), 'deos-up-'))
    const { ephemeral, env, words = [] } = setup
    return new UpFleet(home, await startIn(home, [...(ephemeral ? ['--ephemeral'] : []), ...words], env))
  }

  get up(): DeosProcess {
    return this.#run.up
  }

  get ready(): UpReady {
    return this.#run.ready
  }

  get client(): ApiClient {
    return this.#run.client
  }

  /** Ends it as Ctrl-C does and starts it with what it kept. @throws Error if it does not end as it should */
  async restart(): Promise<void> {
    this.up.signal('SIGINT')
    const code = await this.up.exit
    if (code !== 0) throw new Error(`deos up ended with ${code}: ${this.up.stderr}`)
    this.#run = await startIn(this.home, [])
  }

  /** Ends everything as Ctrl-C does. @returns the exit status of `deos up` */
  async stop(): Promise<number | null> {
    for (const { pid } of this.#joined) killAll(familyOf(pid))
    this.up.signal('SIGINT')
    const late = sleep(30_000, 'late', { ref: false })
    const code = await Promise.race([this.up.exit, late])
    await endAndForget(this.up, this.home)
    return typeof code === 'string' ? null : code
  }

  /** Runs a command with the account that `deos up` wrote. */
  deos(...words: readonly string[]): Promise<Told> {
    return new Promise((resolve) => {
      const { account } = this.ready
      const child = spawn(process.execPath, [script, ...words], {
        env: { ...process.env, DEOS_HOME: dirname(account), DEOS_API_KEY: undefined, DEOS_URL: undefined },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const told = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].on('data', (chunk: Buffer) => {
          told[name] += chunk.toString()
        })
      }
      child.on('close', (code) => resolve({ code, ...told }))
    })
  }

  /** The JSON that a command prints. @throws Error if it fails */
  async json<T>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.deos(...words, '--json')
    if (code !== 0) throw new Error(`deos ${words.join(' ')} ended with ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  /** A further machine from another terminal. Resolves when it has joined. */
  async join(token: string, words: readonly string[]): Promise<DeosProcess> {
    const flags = ['--home', join(this.home, 'other'), ...words]
    const joined = new DeosProcess(this.home, [this.ready.controlUrl, '--token', token, ...flags], 'join')
    this.#joined.push(joined)
    await joined.event(({ event }) => event === 'joined')
    return joined
  }

  /** The process of a machine that `deos up` keeps; another one after each restart. */
  async agentOf(name: string): Promise<number> {
    const found = await eventually(`the process of ${name}`, async () =>
      childrenOf(this.up.pid).find((pid) => commandOf(pid).includes(`\0--name\0${name}\0`)),
    )
    return found
  }

  async controlPlanePid(): Promise<number> {
    return eventually('the control plane', async () =>
      childrenOf(this.up.pid).find((pid) => /control-plane\.mjs/.test(commandOf(pid))),
    )
  }
}

async function endAndForget(up: DeosProcess, home: string): Promise<void> {
  up.signal('SIGKILL')
  await up.exit
  await eventually('the end of all processes', async () =>
    (processesWith(`DEOS_HOME=${home}`) ?? []).length === 0 ? true : undefined,
  ).catch(() => undefined)
  rmSync(home, { recursive: true, force: true })
}

/** What a look finds; looks again until it does. @throws Error after a time that no machine needs */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  limitMs = 60_000,
): Promise<T> {
  for (const startMs = performance.now(); performance.now() - startMs < limitMs; await sleep(50)) {
    const found = await look()
    if (found !== undefined) return found
  }
  throw new Error(`There was nothing of ${what} within ${limitMs / 1000} s.`)
}

function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

/** Words are separated and ended by NUL. */
export const commandOf = (pid: number): string => readProcess(pid, 'cmdline')

const parentOf = (pid: number): number =>
  Number(
    readProcess(pid, 'stat')
      .replace(/^.*\) /s, '')
      .split(' ')[1],
  )

export function childrenOf(parent: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
}

/** A process with all that it started, however deep. */
export const familyOf = (pid: number): readonly number[] => [pid, ...childrenOf(pid).flatMap(familyOf)]

/** As a power cut ends them: all at once, without a last word. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}
