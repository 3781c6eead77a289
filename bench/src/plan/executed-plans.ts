import { join } from 'node:path'
import { playSailorPlan } from '@deos/planner'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import { peers, SailorFolder } from './sailor-files.ts'

/** The best published figures for these runs: Varuna's median, Sailor's mean. */
const bars = { medianError: 0.074, meanError: 0.132 }
const errors = ['medianError', 'meanError'] as const

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/**
 * Our simulator against 27 training plans that Sailor's authors ran on GH200, beside the cost models that they compare.
 * Iterations are played from profiles of layers and links; nothing is fitted to the 27.
 *
 * @param id - the first part of the figures' ids
 */
export function measureExecutedPlans(id: string, dataFolder: string | null) {
  const own = (error: (typeof errors)[number]) =>
    ({ id: `${id}.${error}`, unit: 'ratio', better: 'lower', bar: bars[error] }) as const
  const ofPeer = (peer: string, error: (typeof errors)[number]) =>
    ({ id: `${id}.${peer}.${error}`, unit: 'ratio', better: 'lower' }) as const
  const path = dataFolder === null ? null : join(dataFolder, 'sailor')
  if (path === null || !SailorFolder.has(path)) {
    const reason = 'Needs --data DIR with Sailor’s files.'
    const all = [...errors.map(own), ...peers.flatMap((peer) => errors.map((error) => ofPeer(peer, error)))]
    return { figures: all.map((each) => skippedFigure({ ...each, reason })), rows: [] }
  }
  const folder = new SailorFolder(path)
  const rows = folder.measuredPlans().map(({ file, model, globalBatch, plan, measuredS, predictedByS }) => ({
    file,
    model,
    measuredS,
    played: playSailorPlan(folder.tables(model), globalBatch, plan),
    predictedByS,
  }))
  const figuresOf = (
    terms: (error: (typeof errors)[number]) => ReturnType<typeof own> | ReturnType<typeof ofPeer>,
    values: readonly number[],
  ): readonly Figure[] => [
    measuredFigure({ ...terms('medianError'), samples: values }),
    measuredFigure({ ...terms('meanError'), samples: [mean(values)] }),
  ]
  const errorOf = (predictedS: number, measuredS: number) => Math.abs(predictedS / measuredS - 1)
  const figures = [
    ...figuresOf(
      own,
      rows.map(({ measuredS, played }) => errorOf(played.iterationS, measuredS)),
    ),
    ...peers.flatMap((peer) =>
      figuresOf(
        (error) => ofPeer(peer, error),
        rows.flatMap(({ measuredS, predictedByS }) => {
          const predictedS = predictedByS[peer]
          return predictedS === null ? [] : [errorOf(predictedS, measuredS)]
        }),
      ),
    ),
  ]
  return { figures, rows }
}
