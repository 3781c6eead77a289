import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { CompletionClient } from './completion-client.ts'
import type { Contender, ServerSize } from './contender.ts'
import { freePort } from './free-port.ts'
import type { SharedLibraries } from './llama-libraries.ts'
import { ServerProcess } from './server-process.ts'

/** How sequences lie in llama.cpp's KV memory: a buffer each, or all in one. */
export type LlamaKv = 'separate' | 'unified'

export interface LlamaServerOptions extends ServerSize {
  readonly binary: string
  readonly libraries: SharedLibraries
  readonly modelPath: string
  readonly threads: number
  readonly kv: LlamaKv
  readonly logFolder: string
  /** Flags beside those that all need. */
  readonly moreArgs?: readonly string[]
}

const POLL_MS = 50

/** Continuous batching, prompt cache, batch sizes and attention are left at the server's defaults. */
export async function startLlamaServer(options: LlamaServerOptions): Promise<Contender> {
  const { binary, libraries, modelPath, threads, slots, slotTokens, kv, logFolder, moreArgs = [] } = options
  const port = await freePort()
  const process_ = new ServerProcess({
    name: 'llama-server',
    file: binary,
    args: [
      ...['--model', modelPath, '--host', '127.0.0.1', '--port', String(port)],
      ...['--threads', String(threads), '--threads-batch', String(threads)],
      ...['--parallel', String(slots), '--ctx-size', String(slots * slotTokens)],
      ...['--cache-type-k', 'f16', '--cache-type-v', 'f16', '--cont-batching'],
      kv === 'unified' ? '--kv-unified' : '--no-kv-unified',
      ...moreArgs,
    ],
    env: libraries.env,
    ...(libraries.cwd !== null && { cwd: libraries.cwd }),
    logFile: join(logFolder, 'llama-server.log'),
  })
  const url = `http://127.0.0.1:${port}`
  const gaveUp = new AbortController()
  try {
    await process_.whenReady(untilHealthy(url, gaveUp.signal))
  } finally {
    gaveUp.abort()
  }
  return { name: 'llamaServer', client: new CompletionClient(url, 'bench'), process: process_ }
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await fetch(`${url}/health`, { signal }).catch(() => null)
    await answer?.body?.cancel()
    if (answer?.ok) return
    await setTimeout(POLL_MS)
  }
}
