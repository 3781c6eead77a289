import { SimulationInputError } from '../errors.ts'

/** A measured time: [tokens in the batch, ms]. */
export type TimePoint = readonly [tokens: number, ms: number]

/** Time of one layer by batch size, linear between measured points and beyond the last two. */
export class LayerTimes {
  private readonly prompt: Float64Array
  private readonly decode: Float64Array

  /**
   * @param points - in ascending order of tokens
   * @param most - tokens of the largest batches that will be asked for
   * @throws SimulationInputError if there are fewer than two points or they do not ascend
   */
  constructor(
    points: { readonly prompt: readonly TimePoint[]; readonly decode: readonly TimePoint[] },
    most: { readonly promptTokens: number; readonly decodeTokens: number },
  ) {
    this.prompt = tabulate('prompt', points.prompt, most.promptTokens)
    this.decode = tabulate('decode', points.decode, most.decodeTokens)
  }

  /** ms for one layer of a batch of whole prompts. */
  ofPrompt(tokens: number): number {
    return this.prompt[tokens]!
  }

  /**
   * ms for one layer of a batch with one token of each request. A batch of one costs double what the measured points
   * say, as in Helix's model, whose smallest measured batch is two.
   */
  ofDecode(tokens: number): number {
    return tokens === 1 ? this.decode[1]! * 2 : this.decode[tokens]!
  }
}

function tabulate(phase: string, points: readonly TimePoint[], most: number): Float64Array {
  if (points.length < 2) throw new SimulationInputError(`${phase} points`, points.length, 'two or more')
  const table = new Float64Array(most + 1)
  let at = 1
  for (let tokens = 0; tokens <= most; tokens += 1) {
    while (at < points.length - 1 && points[at]![0] < tokens) at += 1
    const [left, leftMs] = points[at - 1]!
    const [right, rightMs] = points[at]!
    if (!(right > left)) throw new SimulationInputError(`${phase} points[${at}]`, right, `more than ${left}`)
    table[tokens] = leftMs + ((rightMs - leftMs) * (tokens - left)) / (right - left)
  }
  return table
}
