import type { LedgerCommand } from './commands.ts'
import { type Decision, decide } from './decide.ts'
import type { Entry } from './entries.ts'
import { draftOf, emptyState, type LedgerDraft, type LedgerState, viewOfState, writeEntry } from './state.ts'
import type { LedgerView } from './view.ts'

/** A ledger in memory, for simulations and tests. Commands are decided one after another. */
export class Ledger {
  /** Current, however long it is kept. */
  readonly view: LedgerView
  private readonly draft: LedgerDraft
  private readonly log: Entry[] = []

  constructor(from: LedgerState = emptyState) {
    this.draft = draftOf(from)
    this.view = viewOfState(this.draft)
  }

  /** Entries since the state it began with, in order. */
  get entries(): readonly Entry[] {
    return this.log
  }

  /** Current, and changing with every command; `snapshotOf` keeps one. */
  get state(): LedgerState {
    return this.draft
  }

  /** @throws DomainError if the command is refused; nothing has changed then */
  execute(command: LedgerCommand): Decision {
    const decision = decide(this.view, command)
    if (decision.outcome === 'posted') {
      writeEntry(this.draft, decision.entry)
      this.log.push(decision.entry)
    }
    return decision
  }
}
