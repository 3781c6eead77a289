import { createInterface, type Interface } from 'node:readline'
import { describeError } from '@deos/domain'
import { EXIT_INTERRUPTED, InterruptedError } from '../cli-error.ts'
import type { ChatMessage } from '../http/server-client.ts'
import { ServerError } from '../http/server-errors.ts'
import type { Interrupts } from '../interrupts.ts'
import type { Output } from '../output.ts'
import { collectAnswer, formatTimings } from './answer-timings.ts'
import { Conversation } from './conversation.ts'
import { type ModelServer, openModelServer, type ServerChoice } from './model-server.ts'
import { type SamplingOptions, samplingFields } from './sampling-options.ts'

export interface ChatOptions extends ServerChoice, SamplingOptions {
  readonly system: string | null
}

/** A conversation over a terminal, or over lines of standard input, one turn each. */
export async function chat(options: ChatOptions, output: Output, interrupts: Interrupts): Promise<void> {
  const server = await openModelServer(options, output, interrupts.signal)
  try {
    const session = new ChatSession(server, options, output)
    if (process.stdin.isTTY && process.stderr.isTTY) await session.converse(interrupts)
    else await session.answerLines(interrupts.signal)
  } finally {
    await server.close()
  }
}

const help = 'Ctrl-C stops an answer, twice leaves. /new starts over, /exit leaves.'
const PROMPT = '› '

class ChatSession {
  readonly #conversation: Conversation

  constructor(
    private readonly server: ModelServer,
    private readonly options: ChatOptions,
    private readonly output: Output,
  ) {
    this.#conversation = new Conversation(options.system)
  }

  async answerLines(signal: AbortSignal): Promise<void> {
    const lines = createInterface({ input: process.stdin })
    signal.addEventListener('abort', () => lines.close(), { once: true })
    for await (const line of lines) {
      if (line.trim() !== '') await this.#answer(line, signal)
    }
    signal.throwIfAborted()
  }

  async converse(interrupts: Interrupts): Promise<void> {
    const terminal = createInterface({ input: process.stdin, output: process.stderr, prompt: PROMPT })
    interrupts.signal.addEventListener('abort', () => terminal.close(), { once: true })
    let answering: AbortController | null = null
    let leaving = false
    terminal.on('SIGINT', () => {
      if (answering !== null) answering.abort(new InterruptedError('Stopped.'))
      else if (leaving || terminal.line === '') {
        if (leaving) {
          process.exitCode = EXIT_INTERRUPTED
          terminal.close()
          return
        }
        leaving = true
        this.output.note('\nCtrl-C again leaves.')
        terminal.prompt()
      } else clearInput(terminal)
    })
    this.output.note(`${this.server.model} at ${this.server.client.url.origin}. ${help}`)
    terminal.prompt()
    for await (const line of terminal) {
      leaving = false
      if (line.trim() === '/exit') break
      if (line.trim() === '/new') {
        this.#conversation.restart()
        this.output.note('A new conversation.')
      } else if (line.trim() !== '') {
        answering = new AbortController()
        await this.#tryAnswer(line, answering.signal)
        answering = null
      }
      terminal.prompt()
    }
    terminal.close()
    this.output.note('')
  }

  /** In a terminal a failed turn is told and the conversation goes on. */
  async #tryAnswer(text: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#answer(text, signal)
    } catch (error) {
      if (!(error instanceof ServerError) && !(error instanceof InterruptedError)) throw error
      this.output.note(error instanceof InterruptedError ? `\n[${error.message}]` : describeError(error))
    }
  }

  async #answer(text: string, signal: AbortSignal): Promise<void> {
    const messages: readonly ChatMessage[] = this.#conversation.ask(text)
    const body = { model: this.server.model, messages, ...samplingFields(this.options) }
    let said = ''
    try {
      const pieces = this.server.client.stream('/v1/chat/completions', body, signal)
      const answer = await collectAnswer(
        pieces,
        (piece) => {
          said += piece
          this.output.stream(piece)
        },
        () => performance.now(),
      )
      this.output.stream('\n')
      const { text: content, ...facts } = answer
      this.output.event({ role: 'assistant', content, ...facts })
      if (process.stderr.isTTY && !this.output.json) this.output.note(`[${formatTimings(answer)}]`)
    } finally {
      this.#conversation.answered(said)
    }
  }
}

function clearInput(terminal: Interface): void {
  // As a shell does: Ctrl-U takes away what was typed.
  terminal.write(null, { ctrl: true, name: 'e' })
  terminal.write(null, { ctrl: true, name: 'u' })
}
