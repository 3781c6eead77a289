import { LineProcess } from './line-process.ts'
import type { WorkerRing } from './worker-ring.ts'

export interface SplitGatewayOptions {
  readonly gatewayEntry: string
  readonly modelPath: string
  readonly decode: WorkerRing
  /** `null`: everything is computed where it is decoded. */
  readonly prefill: WorkerRing | null
  readonly blockTokens: number
  /** Through which it dials; empty dials directly. */
  readonly proxy: string
}

/** A gateway in front of a decode ring and, if there is one, a prefill ring that computes every prompt. */
export class SplitGateway {
  readonly #process: LineProcess
  #url = ''

  constructor({ gatewayEntry, modelPath, decode, prefill, blockTokens, proxy }: SplitGatewayOptions) {
    const { stages, name } = decode
    const split =
      prefill === null
        ? []
        : [
            ...['--stages', stages.join(), '--prefill-ring', prefill.name],
            ...['--prefill-stages', prefill.stages.join(), '--split', 'always'],
            ...['--split-block-tokens', String(blockTokens), '--split-deadline', '300s'],
          ]
    this.#process = new LineProcess(
      gatewayEntry,
      [
        ...['--port', '0', '--model', modelPath, '--model-id', 'deos-7m', '--ring', name],
        ...['--leader', stages[0]!, '--tail', stages.at(-1)!, '--log-format', 'json', ...split],
        ...(proxy === '' ? [] : ['--proxy', proxy]),
      ],
      { DEOS_RING_SECRET: decode.secret, DEOS_PREFILL_SECRET: prefill?.secret ?? '', DEOS_API_KEY: '' },
    )
  }

  async start(): Promise<void> {
    this.#url = String((await this.#process.said(({ ready }) => ready === true)).url)
    for (;;) {
      const response = await fetch(`${this.#url}/health`)
      const health = await response.text()
      // Both rings say what their stages hold.
      if (response.ok && !health.includes('"stages":[]')) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** The answer's text, and what the gateway said became of its prompt; no more than `maxTokens` tokens, greedy. */
  async answer(prompt: readonly number[], maxTokens: number): Promise<{ text: string; note: string }> {
    const before = this.#process.log.length
    const response = await fetch(`${this.#url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ model: 'deos-7m', prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true },
      }),
    })
    const body: unknown = await response.json()
    const text = textOf(body)
    if (text === null) throw new Error(`${response.status}: ${JSON.stringify(body)}`)
    const notes = this.#process.log.slice(before).map(({ msg }) => String(msg))
    return { text, note: notes.find((note) => note.includes('handed over')) ?? notes.at(-1) ?? '' }
  }

  async stop(): Promise<void> {
    await this.#process.stop()
  }
}

function textOf(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('choices' in body) || !Array.isArray(body.choices)) {
    return null
  }
  const choice: unknown = body.choices[0]
  if (typeof choice !== 'object' || choice === null || !('text' in choice)) return null
  return typeof choice.text === 'string' ? choice.text : null
}
