import { type IdSource, type MachineId, type Milliseconds, ms } from '@deos/domain'
import {
  type Deployment,
  type DeploymentCommand,
  DeploymentError,
  type DeploymentEvent,
  type DeploymentsState,
  decideDeployments,
  foldDeployments,
} from '@deos/fleet'
import type { Queries } from '../database/database.ts'
import type { EventCause } from '../database/schema/index.ts'
import type { EventSourced } from '../events/event-sourced.ts'
import type { StageReport } from '../machines/machine-reports.ts'
import { factsOf } from './report-facts.ts'
import { Stages } from './stage-index.ts'

export type DeploymentStream = Pick<
  EventSourced<DeploymentsState, DeploymentEvent>,
  'state' | 'version' | 'refresh' | 'change' | 'onChange'
>

export interface DeploymentLogParts {
  readonly stream: DeploymentStream
  readonly now: () => Date
  readonly ids: IdSource
}

/** Runs in the transaction that appends the events; `state` is the one after them. */
export type Beside = (
  queries: Queries,
  events: readonly DeploymentEvent[],
  state: DeploymentsState,
) => Promise<void>

/** What is wished of deployments and what is heard of them, decided and stored. */
export class DeploymentLog {
  /** Where stages lie now. */
  readonly stages = new Stages(() => this.state)

  constructor(private readonly parts: DeploymentLogParts) {}

  get state(): DeploymentsState {
    return this.parts.stream.state
  }

  /** Of the newest event that is folded into the state. */
  get version(): number {
    return this.parts.stream.version
  }

  get nowMs(): Milliseconds {
    return ms(this.parts.now().getTime())
  }

  refresh(): Promise<void> {
    return this.parts.stream.refresh()
  }

  onChange(listener: () => void): () => void {
    return this.parts.stream.onChange(listener)
  }

  /** Of what a machine is to hold; grows with every change of it and is the same on every control plane. */
  assignmentsVersion(machine: MachineId): number {
    return this.state.assignmentVersions.get(machine) ?? 0
  }

  /** A refusal may come from something that another control plane has changed meanwhile: it is looked up. */
  async change(
    cause: EventCause,
    decide: (state: DeploymentsState) => readonly DeploymentEvent[],
    beside?: Beside,
  ): Promise<readonly DeploymentEvent[]> {
    const { stream } = this.parts
    try {
      return await stream.change(cause, decide, beside)
    } catch (error) {
      if (!(error instanceof DeploymentError)) throw error
      const { version } = stream
      await stream.refresh()
      if (stream.version === version) throw error
      return stream.change(cause, decide, beside)
    }
  }

  /** @throws DeploymentError if a wish is refused */
  execute(
    cause: EventCause,
    commands: readonly DeploymentCommand[],
    beside?: Beside,
  ): Promise<readonly DeploymentEvent[]> {
    return this.change(cause, (state) => this.#decide(state, commands), beside)
  }

  /** Takes note of something that happened; nearly always it is known already and costs nothing. */
  async note(cause: EventCause, facts: readonly DeploymentCommand[]): Promise<void> {
    if (facts.length === 0 || this.#decide(this.state, facts).length === 0) return
    await this.execute(cause, facts)
  }

  /** Of the machine's present process, complete, in the order in which it sent them. */
  async onStageReports(
    machine: MachineId,
    incarnation: number,
    stages: readonly StageReport[],
    assignmentsVersion: number,
  ): Promise<void> {
    // Another control plane may have told the machine more than this one knows yet.
    if (assignmentsVersion > this.assignmentsVersion(machine)) await this.refresh()
    const report = { machine, incarnation, stages, assignmentsVersion }
    const facts = factsOf(report, this.stages, this.assignmentsVersion(machine))
    await this.note({ kind: 'machine', id: machine }, facts)
  }

  /** Null also if it is another organisation's. */
  find(id: string, organisation: string): Deployment | null {
    const deployment = this.state.deployments.get(id as Deployment['id'])
    return deployment?.organisation === organisation ? deployment : null
  }

  #decide(state: DeploymentsState, commands: readonly DeploymentCommand[]): readonly DeploymentEvent[] {
    const context = { nowMs: this.nowMs, ids: this.parts.ids }
    const events: DeploymentEvent[] = []
    let after = state
    for (const command of commands) {
      const decided = decideDeployments(after, command, context)
      events.push(...decided)
      if (commands.length > 1) after = foldDeployments(decided, after)
    }
    return events
  }
}
