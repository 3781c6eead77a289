import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const dist = fileURLToPath(new URL('../../dist', import.meta.url))

export type Line = Readonly<Record<string, unknown>>

/** A process that speaks JSON lines. */
export class LineProcess {
  readonly lines: Line[] = []
  log = ''
  readonly exit: Promise<void>
  readonly #process: ChildProcess
  #changed: () => void = () => undefined

  constructor(script: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#process = spawn(process.execPath, [join(dist, script), ...args], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      this.lines.push(JSON.parse(line))
      this.#changed()
    })
    this.#process.stderr!.on('data', (chunk: Buffer) => {
      this.log += chunk.toString()
      this.#changed()
    })
    this.exit = new Promise((resolve) => {
      this.#process.on('close', () => {
        resolve()
        this.#changed()
      })
    })
  }

  write(line: Line): void {
    this.#process.stdin!.write(`${JSON.stringify(line)}\n`)
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** @throws Error if the process ends before such a line comes */
  async line(fits: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = this.lines.find(fits)
      if (found !== undefined) return found
      if (this.#process.exitCode !== null) throw new Error(`it ended: ${this.log}`)
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }
}
