import { joinMachine } from './decide-join.ts'
import {
  confirmDrained,
  cordon,
  drain,
  quarantine,
  releaseFromQuarantine,
  remove,
  uncordon,
} from './decide-operator.ts'
import { heartbeat, leave, reportBenchmark, reportInventory } from './decide-process.ts'
import { createJoinToken, revokeJoinToken } from './decide-tokens.ts'
import type { FleetCommand, FleetContext } from './fleet-commands.ts'
import { type FleetError, orRefusal } from './fleet-error.ts'
import type { FleetEvent } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'

/**
 * What a command makes happen: events to append to the log at exactly `state.version`, or why nothing may. If somebody
 * else appended meanwhile, fold that in and decide again. A command whose wish is fulfilled already gives no events, so
 * that repeating one is safe.
 */
export function decideFleet(
  state: FleetState,
  command: FleetCommand,
  context: FleetContext,
): readonly FleetEvent[] | FleetError {
  return orRefusal(() => decide(state, command, context))
}

function decide(state: FleetState, command: FleetCommand, context: FleetContext): readonly FleetEvent[] {
  switch (command.type) {
    case 'createJoinToken':
      return createJoinToken(state, command, context)
    case 'revokeJoinToken':
      return revokeJoinToken(state, command, context)
    case 'join':
      return joinMachine(state, command, context)
    case 'reportInventory':
      return reportInventory(state, command, context)
    case 'reportBenchmark':
      return reportBenchmark(state, command, context)
    case 'heartbeat':
      return heartbeat(state, command, context)
    case 'leave':
      return leave(state, command, context)
    case 'cordon':
      return cordon(state, command, context)
    case 'uncordon':
      return uncordon(state, command, context)
    case 'drain':
      return drain(state, command, context)
    case 'drained':
      return confirmDrained(state, command, context)
    case 'quarantine':
      return quarantine(state, command, context)
    case 'releaseFromQuarantine':
      return releaseFromQuarantine(state, command, context)
    case 'remove':
      return remove(state, command, context)
  }
}
