import { DomainError } from '@deos/domain'

export class FakeEngineError extends DomainError {
  readonly code = 'FAKE_ENGINE'
  readonly retriable = false

  constructor(problem: string) {
    super(`The fake engine refuses: ${problem}.`, 'Reset the engine.')
  }
}
