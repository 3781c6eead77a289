import type { ModelConfig } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { builtInProfiles } from '@deos/wan'
import { type Figure, measuredFigure, median } from '../contract.ts'
import { measurePairs } from '../pairs.ts'
import { greedy, promptsOf } from '../ring/workload.ts'
import { measureBesideLlamaRpc } from './measure-llama-rpc.ts'
import { PlacedRing, PROMPT_TOKENS, type WanRingOptions } from './placed-ring.ts'

/** A ring of four workers in four regions: one session beside the ideal, many beside the same ring without a network. */
export async function measureWanRing(options: WanRingOptions) {
  const { config } = await openModel(options.model, { vocabulary: false })
  const far = builtInProfiles.get('aws-4-regions')!
  const farRing = await PlacedRing.start(options, config, far)
  const nearRing = await PlacedRing.start(options, config, builtInProfiles.get('zero')!)
  try {
    const single = await measureSingle(options, config, farRing)
    const saturated = await measureSaturated(options, config, farRing, nearRing)
    const peer = await measureBesideLlamaRpc(options, farRing)
    return {
      figures: [...single.figures, ...saturated.figures, ...peer.figures],
      raw: {
        ...{ single: single.raw, saturated: saturated.raw, llamaRpc: peer.raw },
        traffic: await farRing.traffic(),
      },
    }
  } finally {
    await farRing.stop()
    await nearRing.stop()
  }
}

/** Time from token to token of a session that is alone, beside what engines and links need. */
async function measureSingle({ quick, progress }: WanRingOptions, config: ModelConfig, placed: PlacedRing) {
  const [prompt] = promptsOf(config.vocabSize, 1, PROMPT_TOKENS)
  const { ring, aroundMs } = placed
  const ratios: number[] = []
  const raw: { tokenMs: number; engineMs: number }[] = []
  const runs = quick ? 3 : 9
  for (let run = -1; run < runs; run++) {
    const { arrivalsMs, engineMs } = await ring.generate(prompt!, quick ? 40 : 80, greedy)
    if (run < 0) continue // code is compiled meanwhile
    const tokenMs = median(arrivalsMs.slice(1).map((atMs, index) => atMs - arrivalsMs[index]!))
    const computeMs = median(engineMs.slice(1))
    raw.push({ tokenMs, engineMs: computeMs })
    ratios.push(tokenMs / (computeMs + aroundMs))
  }
  const terms = { id: 'wan.ring4.single.vsIdeal', unit: 'ratio', better: 'lower', bar: 1.1 } as const
  const figure = measuredFigure({ ...terms, samples: ratios })
  progress(`one session: ${median(raw.map(({ tokenMs }) => tokenMs)).toFixed(1)} ms a token`)
  return { figures: [figure], raw: { aroundMs, runs: raw } }
}

async function measureSaturated(
  { quick, sessions, progress }: WanRingOptions,
  config: ModelConfig,
  far: PlacedRing,
  near: PlacedRing,
): Promise<{ readonly figures: readonly Figure[]; readonly raw: Record<string, unknown> }> {
  const prompts = promptsOf(config.vocabSize, sessions, PROMPT_TOKENS)
  const tokens = quick ? 64 : 96
  const before = await far.traffic()
  const pairs = await measurePairs({
    n: quick ? 3 : 5,
    a: () => far.saturatedRate(prompts, tokens),
    b: () => near.saturatedRate(prompts, tokens),
  })
  const after = await far.traffic()
  const produced = (quick ? 4 : 6) * sessions * tokens
  const bytesPerToken = after.map(({ from, to, bytes }) => {
    const earlier = before.find((pair) => pair.from === from && pair.to === to)?.bytes ?? 0
    return { from, to, bytes: (bytes - earlier) / produced }
  })
  progress(`${sessions} sessions: ${pairs.medianRatio.toFixed(2)} of the rate without a network`)
  const terms = {
    id: 'wan.ring4.saturated.vsZeroLatency',
    unit: 'ratio',
    better: 'higher',
    bar: 0.85,
  } as const
  return {
    figures: [measuredFigure({ ...terms, samples: pairs.ratios })],
    raw: { unit: 'tokens/s', sessions, fourRegions: pairs.a, zeroLatency: pairs.b, bytesPerToken },
  }
}
