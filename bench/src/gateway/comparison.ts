import { type Figure, measuredFigure, median, skippedFigure } from '../contract.ts'
import { type ChatLoad, nameOf, type Scenario } from './chat-load.ts'

/** What one round of a scenario gave: our gateway and, if it is there, the peer right before or after it. */
export interface Round {
  readonly deos: ChatLoad
  readonly portkey: ChatLoad | null
}

export interface ScenarioRounds {
  readonly scenario: Scenario
  readonly rounds: readonly Round[]
  /** Why it was measured without the peer; null if it was not. */
  readonly noPeer: string | null
}

const terms = { unit: 'ratio', better: 'higher' } as const

/**
 * Requests per second beside the peer's: in each scenario, and over all of them as the geometric mean of one round's
 * ratios, so that no scenario counts more than another. Scenarios that the peer cannot do count in neither.
 */
export function requestFigures(measured: readonly ScenarioRounds[]): readonly Figure[] {
  const all = { id: 'gateway.requests.vsPortkey', ...terms, bar: 1 }
  const compared = measured.filter(({ noPeer }) => noPeer === null).map(ratiosOf)
  const each = measured.map((scenario) => {
    const figure = { id: `${all.id}.${nameOf(scenario.scenario)}`, ...terms }
    return scenario.noPeer === null
      ? measuredFigure({ ...figure, samples: ratiosOf(scenario) })
      : skippedFigure({ ...figure, reason: scenario.noPeer })
  })
  if (compared.length === 0) return [skippedFigure({ ...all, reason: measured[0]!.noPeer! }), ...each]
  const rounds = compared[0]!.map((_, round) => geometricMean(compared.map((ratios) => ratios[round]!)))
  return [measuredFigure({ ...all, samples: rounds }), ...each]
}

const ratiosOf = ({ rounds }: ScenarioRounds): readonly number[] =>
  rounds.map(({ deos, portkey }) => deos.requestsPerSecond / portkey!.requestsPerSecond)

/** Times and rates of both, in the middle of the rounds. */
export function summarizeScenario({ rounds }: Pick<ScenarioRounds, 'rounds'>) {
  const of = (loads: readonly ChatLoad[]) => ({
    requestsPerSecond: median(loads.map((load) => load.requestsPerSecond)),
    p50Ms: median(loads.map((load) => load.p50Ms)),
    p99Ms: median(loads.map((load) => load.p99Ms)),
  })
  const peers = rounds.flatMap(({ portkey }) => portkey ?? [])
  return {
    deos: of(rounds.map(({ deos }) => deos)),
    portkey: peers.length === 0 ? null : of(peers),
  }
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
