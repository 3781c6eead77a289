import { text as readText } from 'node:stream/consumers'
import { UsageError } from '../cli-error.ts'
import type { Interrupts } from '../interrupts.ts'
import type { Output } from '../output.ts'
import { collectAnswer, formatTimings } from './answer-timings.ts'
import { openModelServer, type ServerChoice } from './model-server.ts'
import { type SamplingOptions, samplingFields } from './sampling-options.ts'

export interface RunOptions extends ServerChoice, SamplingOptions {
  /** Put the prompt through the model's chat template; `null` does so for a local instruct model. */
  readonly chat: boolean | null
}

/** @throws UsageError if there is no prompt in the arguments nor on standard input */
async function readPrompt(argument: string | null): Promise<string> {
  if (argument !== null && argument !== '-') return argument
  if (argument === null && process.stdin.isTTY) {
    throw new UsageError(
      'There is no prompt.',
      'Write it in quotes, or pipe it in: echo "Once upon" | deos run',
    )
  }
  const prompt = (await readText(process.stdin)).replace(/\r?\n$/, '')
  if (prompt === '')
    throw new UsageError('Standard input is empty.', 'Pipe a prompt in, or write it in quotes.')
  return prompt
}

/** Generates one answer and writes it to standard output as it comes. */
export async function run(
  argument: string | null,
  options: RunOptions,
  output: Output,
  interrupts: Interrupts,
): Promise<void> {
  const prompt = await readPrompt(argument)
  const server = await openModelServer(options, output, interrupts.signal)
  try {
    const chat = options.chat ?? server.instruct ?? false
    const path = chat ? '/v1/chat/completions' : '/v1/completions'
    const body = {
      model: server.model,
      ...(chat ? { messages: [{ role: 'user', content: prompt }] } : { prompt }),
      ...samplingFields(options),
    }
    const pieces = server.client.stream(path, body, interrupts.signal)
    const answer = await collectAnswer(
      pieces,
      (text) => output.stream(text),
      () => performance.now(),
    )
    output.stream('\n')
    output.event({ model: server.model, ...answer })
    if (!output.json && process.stderr.isTTY) output.note(`[${formatTimings(answer)}]`)
  } finally {
    await server.close()
  }
}
