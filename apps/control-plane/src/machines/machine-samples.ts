import type { MachineId } from '@deos/domain'
import type { Sample } from '../observation/samples.ts'
import type { MachineReport, StageReport } from './machine-reports.ts'

interface Generated {
  readonly atMs: number
  readonly incarnation: number
  /** By stage. */
  readonly tokens: ReadonlyMap<string, number>
}

/** What charts of machines draw, from one round to the next. */
export class MachineSamples {
  #before = new Map<MachineId, Generated>()

  /** @param reports - of the machines that are present */
  take(reports: readonly MachineReport[]): readonly Sample[] {
    const now = new Map<MachineId, Generated>()
    const samples = reports.map((report) => {
      const { machine, incarnation, load, stages, reportedAtMs: atMs } = report
      const tokens = new Map(stages.map(({ stageId, generatedTokens }) => [stageId, generatedTokens]))
      now.set(machine, { atMs, incarnation, tokens })
      return {
        subject: `machine:${machine}`,
        values: {
          cpu_ratio: load.cpuFraction,
          memory_used_bytes: load.memoryUsedBytes,
          promised_bytes: load.devices.reduce((sum, { promisedBytes }) => sum + promisedBytes, 0),
          generated_tokens_per_second: tokensPerSecond(this.#before.get(machine), report),
          busy_ratio: busyFraction(stages),
          active_sessions: stages.reduce((sum, { activeSessions }) => sum + activeSessions, 0),
          kv_used_tokens: stages.reduce((sum, { kvUsedTokens }) => sum + kvUsedTokens, 0),
        },
      }
    })
    this.#before = now
    return samples
  }
}

/** Null if there is no earlier count to compare with. */
function tokensPerSecond(before: Generated | undefined, now: MachineReport): number | null {
  if (before === undefined || before.incarnation !== now.incarnation) return null
  const elapsedMs = now.reportedAtMs - before.atMs
  if (elapsedMs <= 0) return null
  let tokens = 0
  for (const { stageId, generatedTokens } of now.stages) {
    // A worker process that started again counts from 0.
    const counted = before.tokens.get(stageId) ?? 0
    tokens += generatedTokens >= counted ? generatedTokens - counted : generatedTokens
  }
  return (tokens / elapsedMs) * 1000
}

/** Stages of one device take turns, so that their shares add up. */
const busyFraction = (stages: readonly StageReport[]): number =>
  Math.min(
    1,
    stages.reduce((sum, stage) => sum + stage.busyFraction, 0),
  )
