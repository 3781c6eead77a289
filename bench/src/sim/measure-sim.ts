import { seededRandom } from '@deos/domain'
import { EventQueue } from '@deos/simulator'
import { type Figure, measuredFigure, median } from '../contract.ts'
import { measureExecutedPlans } from '../plan/executed-plans.ts'
import { type PublishedRow, readPublishedRows, rowName } from '../plan/helix-published.ts'
import { HelixSetup, percentiles } from '../plan/helix-rows.ts'
import { replayRecordedRuns } from './recorded-runs.ts'
import { type PredictedGroup, predictGroup, readProfileGroups } from './serving-profiles.ts'

export interface SimBenchOptions {
  readonly quick: boolean
  /** Folder `helix` with clusters, profiles, workload, instances and published results. */
  readonly helixFolder: string
  /** Folder with `sailor`: executed training plans and the profiles that they are predicted from. */
  readonly dataFolder: string
  /** Folder `serving-profiles` with measured times of prompts and tokens. */
  readonly profilesFolder: string
  progress(line: string): void
}

interface SimulatedRow extends PublishedRow {
  readonly simulated: readonly number[]
  readonly error: number
  readonly simulatedPromptSeconds: readonly number[]
  readonly simulatedDecodeSeconds: readonly number[]
  readonly eventsPerSecond: number
}

/**
 * The simulator's speed, and its error against every published row of Helix's simulator and prototype; and that of the
 * planner's costs, which it plays, against measured times of prompts and tokens.
 */
export function measureSim({ quick, helixFolder, dataFolder, profilesFolder, progress }: SimBenchOptions) {
  const setup = new HelixSetup(helixFolder)
  const published = readPublishedRows(helixFolder)
  const seeds = quick ? [1] : [1, 2, 3, 4, 5]
  const known = new Map<string, Omit<SimulatedRow, keyof PublishedRow | 'error'>>()
  const rows = published.map((row): SimulatedRow => {
    const name = `${row.kind} ${rowName(row)}`
    if (!known.has(name)) {
      progress(name)
      known.set(name, simulateRow(setup, row, seeds))
    }
    const simulated = known.get(name)!
    return { ...row, ...simulated, error: median(simulated.simulated) / row.decodeTokensPerSecond - 1 }
  })
  const errors = (kind: PublishedRow['kind']) =>
    rows.filter((row) => row.kind === kind).map((row) => Math.abs(row.error) * 100)
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  progress('prompts and tokens measured by others')
  const profiles = readProfileGroups(profilesFolder).map(predictGroup)
  const recorded = replayRecordedRuns(setup.profiles)
  const recordedErrors = (which: 'errors' | 'errorsWithoutOverheads') =>
    recorded.map((run) => mean(run[which].map(Math.abs)) * 100)
  const executed = measureExecutedPlans('sim.training', dataFolder)
  const figures: Figure[] = [
    ...executed.figures,
    one(
      'sim.events',
      'events/s',
      'higher',
      rows.map((row) => row.eventsPerSecond),
      1e6,
    ),
    one('sim.queue', 'events/s', 'higher', queueSpeeds(quick ? 300_000 : 2_000_000)),
    one('sim.helix.simulation.meanError', '%', 'lower', [mean(errors('simulation'))]),
    one('sim.helix.simulation.worstError', '%', 'lower', [Math.max(...errors('simulation'))], 10),
    one('sim.helix.prototype.meanError', '%', 'lower', [mean(errors('prototype'))], 8.2),
    one('sim.helix.prototype.worstError', '%', 'lower', [Math.max(...errors('prototype'))]),
    one('sim.helix.recorded.meanError', '%', 'lower', recordedErrors('errors')),
    one(
      'sim.helix.recorded.meanErrorWithoutOverheads',
      '%',
      'lower',
      recordedErrors('errorsWithoutOverheads'),
    ),
    one('sim.helix.prototype.rankingsKept', 'groups', 'higher', [rankingsKept(rows)], 4),
    one('sim.helix.prototype.pairsKept', 'share', 'higher', [pairsKept(rows)], 1),
    ...profileFigures(profiles),
    ...rows.map((row) =>
      one(`sim.helix.${row.kind}.${rowName(row)}.error`, '%', 'lower', [Math.abs(row.error) * 100]),
    ),
  ]
  return {
    figures,
    raw: {
      rows: rows.map((row) => ({ name: rowName(row), ...row })),
      ...{ recorded, profiles, seeds },
      executedPlans: executed.rows,
    },
  }
}

function profileFigures(groups: readonly PredictedGroup[]): readonly Figure[] {
  const mean = (errors: readonly number[]) =>
    (100 * errors.reduce((sum, error) => sum + Math.abs(error), 0)) / errors.length
  const all = (which: 'promptErrors' | 'tokenErrors') => mean(groups.flatMap((group) => group[which]))
  return [
    one('sim.profiles.prompt.meanError', '%', 'lower', [all('promptErrors')], 15),
    one('sim.profiles.token.meanError', '%', 'lower', [all('tokenErrors')], 15),
    ...groups.flatMap(({ name, promptErrors, tokenErrors }) => [
      one(`sim.profiles.${name}.prompt.meanError`, '%', 'lower', [mean(promptErrors)], 15),
      one(`sim.profiles.${name}.token.meanError`, '%', 'lower', [mean(tokenErrors)], 15),
    ]),
  ]
}

function one(
  id: string,
  unit: string,
  better: Figure['better'],
  samples: readonly number[],
  bar?: number,
): Figure {
  return measuredFigure({ id, unit, better, samples, ...(bar === undefined ? {} : { bar }) })
}

function simulateRow(setup: HelixSetup, row: PublishedRow, seeds: readonly number[]) {
  const runs = seeds.map((seed) => {
    const startedMs = performance.now()
    const result = setup.run(row, seed, row.kind)
    return { result, eventsPerSecond: (result.events / (performance.now() - startedMs)) * 1000 }
  })
  const middle = runs[0]!.result
  return {
    simulated: runs.map(({ result }) => result.decodeTokensPerSecond),
    simulatedPromptSeconds: percentiles(middle.promptMs),
    simulatedDecodeSeconds: percentiles(middle.decodeMs),
    eventsPerSecond: median(runs.map((run) => run.eventsPerSecond)),
  }
}

/** Of the prototype's groups (model and mode), those in which the methods come in the measured order. */
function rankingsKept(rows: readonly SimulatedRow[]): number {
  const groups = new Map<string, SimulatedRow[]>()
  for (const row of rows.filter((each) => each.kind === 'prototype')) {
    const key = `${row.site}/${row.model}/${row.mode}`
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const order = (group: readonly SimulatedRow[], value: (row: SimulatedRow) => number) =>
    [...group].sort((a, b) => value(b) - value(a)).map((row) => row.method)
  return [...groups.values()].filter(
    (group) =>
      order(group, (row) => row.decodeTokensPerSecond).join() ===
      order(group, (row) => median(row.simulated)).join(),
  ).length
}

/** Methods measured closer than this in one run of five minutes are not told apart by it. */
const distinguishable = 0.03

/** Of pairs of methods in the prototype's groups that the measurement tells apart, the share in the measured order. */
function pairsKept(rows: readonly SimulatedRow[]): number {
  const measured = rows.filter(({ kind }) => kind === 'prototype')
  const pairs = measured.flatMap((row, at) =>
    measured
      .slice(at + 1)
      .filter(({ site, model, mode }) => site === row.site && model === row.model && mode === row.mode)
      .map((other) => [row, other] as const)
      .filter(([a, b]) => Math.abs(a.decodeTokensPerSecond / b.decodeTokensPerSecond - 1) > distinguishable),
  )
  const kept = pairs.filter(
    ([a, b]) =>
      a.decodeTokensPerSecond > b.decodeTokensPerSecond === median(a.simulated) > median(b.simulated),
  )
  return kept.length / pairs.length
}

/** A queue of 10,000 events, each replaced by a later one as it is taken. */
function queueSpeeds(events: number): readonly number[] {
  return [1, 2, 3].map((seed) => {
    const random = seededRandom(seed)
    const queue = new EventQueue()
    for (let index = 0; index < 10_000; index += 1) queue.push(random.next() * 100, 0, index)
    const startedMs = performance.now()
    for (let index = 0; index < events; index += 1) {
      queue.take()
      queue.push(queue.timeMs + random.next() * 100, 0, queue.subject)
    }
    return (events / (performance.now() - startedMs)) * 1000
  })
}
