import { DomainError } from '@deos/domain'

/** What is to be simulated has a value that cannot be. */
export class SimulationInputError extends DomainError {
  readonly code = 'SIMULATION_INPUT_INVALID'
  readonly retriable = false

  constructor(
    /** Path of what is wrong: `machines[3].stage.layers`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(`${field} is ${String(given)}.`, `Give ${wanted}.`)
  }
}
