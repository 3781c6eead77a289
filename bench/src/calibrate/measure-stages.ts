import type { StageTiming, StepPoint } from '@deos/simulator'
import { median } from '../contract.ts'
import type { GenerationTimes, LocalRing } from '../ring/local-ring.ts'
import { greedy, promptsOf } from '../ring/workload.ts'
import { type CalibratedModel, speeds } from './ring-setup.ts'

const decodePromptTokens = 16

interface Plan {
  readonly sessions: readonly number[]
  readonly promptTokens: readonly number[]
  readonly decodedTokens: number
  readonly promptRuns: number
  /** Prompt of the session that shows what context costs. */
  readonly longPromptTokens: number
}

const planOf = (quick: boolean): Plan => ({
  sessions: quick ? [1, 4, 16] : [1, 2, 4, 8, 16, 24],
  promptTokens: quick ? [16, 128] : [8, 16, 32, 64, 128, 224],
  decodedTokens: quick ? 30 : 60,
  promptRuns: quick ? 3 : 7,
  longPromptTokens: 240,
})

/**
 * What each stage takes for steps of one kind, seen on a ring that has one step under way at a time and computes prompts in one
 * piece: sessions that start together decode together.
 */
export async function measureStages(
  ring: LocalRing,
  model: CalibratedModel,
  quick: boolean,
): Promise<readonly StageTiming[]> {
  const plan = planOf(quick)
  await runTogether(ring, model, { sessions: 4, promptTokens: 64, tokens: 120 }) // code is compiled meanwhile
  const decodes: GenerationTimes[][] = []
  for (const sessions of plan.sessions) {
    const tokens = plan.decodedTokens
    decodes.push(await runTogether(ring, model, { sessions, promptTokens: decodePromptTokens, tokens }))
  }
  const prompts: GenerationTimes[][] = []
  for (const promptTokens of plan.promptTokens) {
    const runs: GenerationTimes[] = []
    for (let run = 0; run < plan.promptRuns; run += 1) {
      runs.push(...(await runTogether(ring, model, { sessions: 1, promptTokens, tokens: 1 })))
    }
    prompts.push(runs)
  }
  const long = { sessions: 1, promptTokens: plan.longPromptTokens, tokens: plan.decodedTokens }
  const [far] = await runTogether(ring, model, long)
  return speeds.map((_, stage): StageTiming => {
    const decode = plan.sessions.map(
      (sessions, index): StepPoint => [sessions, median(decodeMs(decodes[index]!, stage))],
    )
    const extraMs = median(decodeMs([far!], stage)) - decode[0]![1]
    const extraContext = plan.longPromptTokens - decodePromptTokens
    return {
      decode,
      prompt: plan.promptTokens.map(
        (tokens, index): StepPoint => [
          tokens,
          median(prompts[index]!.map(({ stageTimes }) => stageTimes[0]![stage]!.computeUs / 1000)),
        ],
      ),
      contextMs: Math.max(0, (1000 * extraMs) / extraContext),
      decodeContext: decodePromptTokens + plan.decodedTokens / 2,
      hostMs: median(decodes.flatMap((runs) => hostMs(runs, stage))),
    }
  })
}

function runTogether(
  ring: LocalRing,
  { vocabSize }: CalibratedModel,
  {
    sessions,
    promptTokens,
    tokens,
  }: { readonly sessions: number; readonly promptTokens: number; readonly tokens: number },
): Promise<GenerationTimes[]> {
  const prompts = promptsOf(vocabSize, sessions, promptTokens)
  return Promise.all(prompts.map((prompt) => ring.generate(prompt, tokens, greedy)))
}

/** Of steps in the middle of the answers, when all sessions decode. */
const middle = ({ stageTimes }: GenerationTimes) => {
  const third = Math.floor(stageTimes.length / 3)
  return stageTimes.slice(third, stageTimes.length - Math.floor(third / 2))
}

const decodeMs = (runs: readonly GenerationTimes[], stage: number): readonly number[] =>
  runs.flatMap((run) => middle(run).map((times) => times[stage]!.computeUs / 1000))

const hostMs = (runs: readonly GenerationTimes[], stage: number): readonly number[] =>
  runs.flatMap((run) => middle(run).map((times) => times[stage]!.waitUs / 1000))
