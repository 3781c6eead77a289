import type { ChatMessage } from '../http/server-client.ts'

/** Turns of a conversation in the order a model wants to see them. */
export class Conversation {
  #messages: ChatMessage[] = []

  constructor(private readonly system: string | null) {
    this.restart()
  }

  restart(): void {
    this.#messages = this.system === null ? [] : [{ role: 'system', content: this.system }]
  }

  /** @returns everything said so far, the question included */
  ask(content: string): readonly ChatMessage[] {
    this.#messages.push({ role: 'user', content })
    return [...this.#messages]
  }

  /** Keeps what was said, also when it was cut short; a question without any answer is forgotten. */
  answered(content: string): void {
    if (content === '') this.#messages.pop()
    else this.#messages.push({ role: 'assistant', content })
  }
}
