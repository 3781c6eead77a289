import type { MessagePort } from 'node:worker_threads'

/** What the thread is started with. */
export type ThreadData =
  /** Writes an empty database into a folder and ends. */
  | { readonly task: 'create'; readonly folder: string; readonly image: string | null }
  /** @param folder - null keeps everything in memory */
  | { readonly task: 'serve'; readonly folder: string | null }

/** Connects a client: bytes of PostgreSQL's protocol go through the port both ways. */
export interface ConnectRequest {
  readonly type: 'connect'
  readonly port: MessagePort
}

export type ThreadRequest = ConnectRequest | { readonly type: 'close' }

export type ThreadReply = { readonly type: 'ready' } | { readonly type: 'closed' }
