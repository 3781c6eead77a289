import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export type Line = Readonly<Record<string, unknown>>

/** A process of the product that speaks lines of JSON on its standard output and logs such lines on the other. */
export class LineProcess {
  readonly #said: Line[] = []
  readonly #logged: Line[] = []
  #text = ''
  #problem: string | null = null
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  readonly #waiting = new Set<() => void>()

  constructor(script: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    for (const [stream, lines] of [
      [this.#child.stdout!, this.#said],
      [this.#child.stderr!, this.#logged],
    ] as const) {
      createInterface({ input: stream }).on('line', (text) => {
        this.#text = `${this.#text}${text}\n`.slice(-4000)
        const line = parseLine(text)
        if (line !== null) lines.push(line)
        this.#wake()
      })
    }
    this.#gone = new Promise((resolve) => {
      this.#child.once('exit', () => {
        resolve()
        this.#wake()
      })
    })
  }

  write(line: Line): void {
    this.#child.stdin!.write(`${JSON.stringify(line)}\n`)
  }

  /** @throws Error if the process ends before it says that */
  said(fits: (line: Line) => boolean): Promise<Line> {
    return this.#find(this.#said, fits)
  }

  /** @throws Error if the process ends before it logs that */
  logged(fits: (line: Line) => boolean): Promise<Line> {
    return this.#find(this.#logged, fits)
  }

  /** What it has logged already. */
  get log(): readonly Line[] {
    return this.#logged
  }

  /** Whoever waits for a line waits no longer. */
  giveUp(reason: string): void {
    this.#problem = reason
    this.#wake()
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#gone
  }

  async #find(lines: readonly Line[], fits: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = lines.find(fits)
      if (found !== undefined) return found
      if (this.#problem !== null) throw new Error(this.#problem)
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`A process ended: ${this.#text}`)
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

function parseLine(text: string): Line | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}
