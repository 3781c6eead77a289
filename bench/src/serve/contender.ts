import type { CompletionClient } from './completion-client.ts'
import type { ServerProcess } from './server-process.ts'

/** What a server must hold at once. */
export interface ServerSize {
  /** Answers worked on at once. */
  readonly slots: number
  /** Longest sequence of each. */
  readonly slotTokens: number
}

/** A running server that is measured. */
export interface Contender {
  readonly name: ContenderName
  readonly client: CompletionClient
  readonly process: ServerProcess
}

/** DeOS as it is, without one of its features, and llama.cpp's server. */
export type ContenderName = 'deos' | 'withoutPrefixCache' | 'wholePrompts' | 'llamaServer'

export async function stopContender({ client, process }: Contender): Promise<void> {
  client.close()
  await process.stop()
}
