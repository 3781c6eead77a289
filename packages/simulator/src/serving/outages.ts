import { SimulationInputError } from '../errors.ts'
import type { Router } from './routing/router.ts'
import type { ServingFleet } from './serving-fleet.ts'

/** A machine is not there, and what it held is lost. */
export interface Outage {
  readonly machine: number
  /** [fromMs, toMs); infinity if it never comes back. */
  readonly fromMs: number
  readonly toMs: number
}

/** @throws SimulationInputError that names the outage, or a router that expects none */
export function checkOutages(outages: readonly Outage[], fleet: ServingFleet, router: Router): void {
  if (outages.length > 0 && router.availabilityChanged === undefined) {
    throw new SimulationInputError(
      'router',
      'one that expects every machine to stay',
      'one that knows outages',
    )
  }
  for (const [at, { machine, fromMs, toMs }] of outages.entries()) {
    const field = `outages[${at}]`
    if (fleet.machines[machine] === undefined) {
      throw new SimulationInputError(`${field}.machine`, machine, 'a machine of the fleet')
    }
    if (!(fromMs >= 0 && toMs > fromMs)) {
      throw new SimulationInputError(field, `[${fromMs}, ${toMs})`, 'an end after its beginning')
    }
    const again = outages.findIndex(
      (other, index) => index < at && other.machine === machine && other.fromMs < toMs && fromMs < other.toMs,
    )
    if (again >= 0) throw new SimulationInputError(field, `during outages[${again}]`, 'outages one by one')
  }
}
