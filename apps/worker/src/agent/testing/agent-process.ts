import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AgentEvent } from '../agent-event.ts'

const script = fileURLToPath(new URL('../../../../../dist/agent.mjs', import.meta.url))

/** A real agent, as `npm run build` left it. */
export class AgentProcess {
  readonly events: AgentEvent[] = []
  readonly exit: Promise<number | string>
  readonly #child: ChildProcess
  #log = ''

  constructor(argv: readonly string[], token: string) {
    if (!existsSync(script)) throw new Error('Run "npm run build" before this test.')
    this.#child = spawn(process.execPath, [script, ...argv], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, DEOS_TOKEN: token },
    })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line) as AgentEvent)
    })
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#log += chunk.toString()
    })
    this.exit = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => resolve(code ?? signal ?? 'nobody knows'))
    })
  }

  get log(): string {
    return this.#log
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async told<E extends AgentEvent['event']>(
    event: E,
    limitMs = 30_000,
  ): Promise<Extract<AgentEvent, { event: E }>> {
    for (const startMs = performance.now(); performance.now() - startMs < limitMs; await sleep(20)) {
      const found = this.events.find((each) => each.event === event)
      if (found !== undefined) return found as Extract<AgentEvent, { event: E }>
    }
    throw new Error(`The agent never told "${event}":\n${this.#log}`)
  }
}
