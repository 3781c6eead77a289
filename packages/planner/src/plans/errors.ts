import { DomainError } from '@deos/domain'

/** A fleet, a workload or a plan that cannot be worked with. */
export class PlanInputError extends DomainError {
  readonly code = 'PLAN_INPUT_INVALID'
  readonly retriable = false

  constructor(
    /** Path of what is wrong: `machines[2].accelerators`. */
    readonly field: string,
    given: unknown,
    wanted: string,
  ) {
    super(`${field} is ${typeof given === 'string' ? `"${given}"` : String(given)}.`, `Give ${wanted}.`)
  }
}
