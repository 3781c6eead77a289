import type { Writable } from 'node:stream'

export interface OutputStream extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
}

/**
 * Where a command speaks. Results go to standard output, as text or (`--json`) as JSON; everything else a person may
 * want to read meanwhile goes to standard error.
 */
export class Output {
  constructor(
    readonly json: boolean,
    private readonly stdout: OutputStream = process.stdout,
    private readonly stderr: OutputStream = process.stderr,
  ) {}

  /** Whether somebody sees a moving line. */
  get interactive(): boolean {
    return this.stderr.isTTY === true
  }

  /** What the command was asked for. `text` is not made when JSON is wanted. */
  result(value: unknown, text: () => string): void {
    this.stdout.write(this.json ? `${JSON.stringify(value)}\n` : ensureNewline(text()))
  }

  /** One of several JSON lines; nothing in text mode. */
  event(value: unknown): void {
    if (this.json) this.stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** Part of a result as it comes; nothing in JSON mode. */
  stream(text: string): void {
    if (!this.json) this.stdout.write(text)
  }

  note(line: string): void {
    this.stderr.write(ensureNewline(line))
  }

  /** A line on standard error that is drawn over again, or nothing where no terminal shows it. */
  progress(): ProgressLine {
    return new ProgressLine(this.stderr)
  }
}

const ensureNewline = (text: string): string => (text.endsWith('\n') ? text : `${text}\n`)

const CLEAR_LINE = '\r\u001b[2K'
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100

/** A moving line of text. It leaves standard input and signals alone, so that Ctrl-C keeps its meaning. */
export class ProgressLine {
  #text = ''
  #frame = 0
  #timer: NodeJS.Timeout | null = null

  constructor(private readonly stream: OutputStream) {}

  show(text: string): void {
    if (!this.stream.isTTY) return
    this.#text = text
    this.#draw()
    this.#timer ??= setInterval(() => {
      this.#frame += 1
      this.#draw()
    }, FRAME_MS).unref()
  }

  /** Writes a line that stays, above the moving one. */
  log(line: string): void {
    if (this.#timer !== null) this.stream.write(CLEAR_LINE)
    this.stream.write(`${line}\n`)
    if (this.#timer !== null) this.#draw()
  }

  end(): void {
    if (this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
    this.stream.write(CLEAR_LINE)
  }

  #draw(): void {
    const width = Math.max(20, (this.stream.columns || 80) - 3)
    const text = this.#text.length > width ? `${this.#text.slice(0, width - 1)}…` : this.#text
    this.stream.write(`${CLEAR_LINE}${frames[this.#frame % frames.length]} ${text}`)
  }
}
