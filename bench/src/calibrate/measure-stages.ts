import type { StageTiming, StepPoint } from '@deos/simulator'
import { median } from '../contract.ts'
import type { GenerationTimes, LocalRing } from '../ring/local-ring.ts'
import { greedy, promptsOf } from '../ring/workload.ts'
import { type CalibratedModel, oneWayMs, paces } from './ring-setup.ts'
import { stepsOf } from './steps.ts'

const decodePromptTokens = 16
/** Of the session that shows what context costs. */
const longPromptTokens = 160
/** Pieces of a prompt, on the ring that computes them so. */
export const pieceTokens = 32
const pieces = 6
/** Steps of one size, less of which say nothing. */
const fewest = 8

interface Plan {
  readonly sessions: readonly number[]
  readonly promptTokens: readonly number[]
  readonly decodedTokens: number
  readonly runs: number
}

const planOf = (quick: boolean): Plan => ({
  sessions: quick ? [8, 32] : [8, 16, 32],
  promptTokens: quick ? [16, 160] : [8, 32, 96, 224],
  decodedTokens: quick ? 30 : 40,
  runs: quick ? 3 : 5,
})

/** @param wholePrompts - a ring that computes prompts in one piece; @param piecewise - one that does so in small ones */
export async function measureStages(
  wholePrompts: LocalRing,
  piecewise: LocalRing,
  model: CalibratedModel,
  quick: boolean,
): Promise<readonly StageTiming[]> {
  const plan = planOf(quick)
  const { decodedTokens, runs, promptTokens } = plan
  await warmUp(wholePrompts, model)
  const single = await repeated(runs, () => decode(wholePrompts, model, 1, decodePromptTokens, decodedTokens))
  const far = await repeated(runs, () => decode(wholePrompts, model, 1, longPromptTokens, decodedTokens))
  const together: GenerationTimes[][] = []
  for (const sessions of plan.sessions) {
    together.push(await decode(wholePrompts, model, sessions, decodePromptTokens, decodedTokens))
  }
  const prompts: GenerationTimes[][] = []
  for (const tokens of promptTokens) {
    prompts.push((await repeated(runs, () => decode(wholePrompts, model, 1, tokens, 1))).flat())
  }
  await warmUp(piecewise, model)
  const first = (await repeated(runs, () => decode(piecewise, model, 1, pieceTokens, 1))).flat()
  const many = (await repeated(runs, () => decode(piecewise, model, 1, pieces * pieceTokens, 1))).flat()
  const promptMs = (run: readonly GenerationTimes[], stage: number) =>
    median(run.map(({ stageTimes }) => stageTimes[0]![stage]!.computeUs / 1000))
  return paces.map((_, stage): StageTiming => {
    const points = decodePoints([...single, ...together], stage)
    const extraMs = median(singleMs(far.flat(), stage)) - points[0]![1]
    const laterMs = promptMs(many, stage) - pieces * promptMs(first, stage)
    const before = (pieceTokens * pieceTokens * pieces * (pieces - 1)) / 2
    return {
      decode: points,
      prompt: promptTokens.map((tokens, at): StepPoint => [tokens, promptMs(prompts[at]!, stage)]),
      contextMs: Math.max(0, (1000 * extraMs) / (longPromptTokens - decodePromptTokens)),
      promptContextMs: Math.max(0, (1000 * laterMs) / before),
      decodeContext: decodePromptTokens + decodedTokens / 2,
      hostMs: median(single.flat().flatMap((run) => middle(run).map((times) => times[stage]!.waitUs / 1000))),
    }
  })
}

/** What messages take beyond the links' own time: from one stage to the next, and from the last one to who asked. */
export interface MessageTimes {
  readonly hopMs: number
  readonly answerMs: number
}

/** Seen on a ring with its links, one session at a time: what is left of a token's time when stages and links are taken off. */
export async function measureMessages(
  ring: LocalRing,
  model: CalibratedModel,
  quick: boolean,
): Promise<MessageTimes> {
  const runs = (
    await repeated(planOf(quick).runs, () => decode(ring, model, 1, decodePromptTokens, 24))
  ).flat()
  const last = paces.length - 1
  const linksMs = paces.slice(0, last).reduce((sum, _, stage) => sum + oneWayMs(stage, stage + 1), 0)
  const stagesMs = (times: GenerationTimes['stageTimes'][number]) =>
    times.reduce((sum, { waitUs, computeUs }) => sum + (waitUs + computeUs) / 1000, 0)
  const aroundMs = runs.flatMap(({ arrivalsMs, stageTimes }) =>
    arrivalsMs.slice(1).map((at, index) => at - arrivalsMs[index]! - stagesMs(stageTimes[index + 1]!)),
  )
  const hopMs = Math.max(0, median(aroundMs) - linksMs - oneWayMs(last, 0)) / paces.length
  const answers = runs.map(({ arrivalsMs, stageTimes }) => arrivalsMs[0]! - stagesMs(stageTimes[0]!))
  const answerMs = median(answers) - linksMs - oneWayMs(last, 0) - last * hopMs
  return { hopMs, answerMs: Math.max(0, answerMs) }
}

async function repeated<T>(runs: number, run: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let at = 0; at < runs; at += 1) results.push(await run())
  return results
}

/** Until code is compiled, and a little longer. */
export async function warmUp(ring: LocalRing, model: CalibratedModel): Promise<void> {
  for (let run = 0; run < 2; run += 1) await decode(ring, model, 8, 64, 40)
}

/** Sessions that start together. */
function decode(
  ring: LocalRing,
  { vocabSize }: CalibratedModel,
  sessions: number,
  promptTokens: number,
  tokens: number,
): Promise<GenerationTimes[]> {
  const prompts = promptsOf(vocabSize, sessions, promptTokens)
  return Promise.all(prompts.map((prompt) => ring.generate(prompt, tokens, greedy)))
}

/** Of steps in the middle of the answers, when all sessions decode. */
const middle = ({ stageTimes }: GenerationTimes) => {
  const third = Math.floor(stageTimes.length / 3)
  return stageTimes.slice(third, stageTimes.length - Math.floor(third / 2))
}

const singleMs = (runs: readonly GenerationTimes[], stage: number): readonly number[] =>
  runs.flatMap((run) => middle(run).map((times) => times[stage]!.computeUs / 1000))

/** By how many sessions the steps had. */
function decodePoints(runs: readonly (readonly GenerationTimes[])[], stage: number): readonly StepPoint[] {
  const bySize = new Map<number, number[]>()
  for (const run of runs) {
    for (const { sessions, times } of stepsOf(run.map(middle))) {
      const known = bySize.get(sessions) ?? []
      known.push(times[stage]!.computeUs / 1000)
      bySize.set(sessions, known)
    }
  }
  return [...bySize]
    .filter(([, values]) => values.length >= fewest)
    .sort(([a], [b]) => a - b)
    .map(([sessions, values]): StepPoint => [sessions, median(values)])
}
