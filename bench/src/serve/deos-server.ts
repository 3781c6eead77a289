import { join } from 'node:path'
import { CompletionClient } from './completion-client.ts'
import type { Contender, ContenderName } from './contender.ts'
import { ServerProcess } from './server-process.ts'

export interface DeosServerOptions {
  /** `dist/deos.mjs`. */
  readonly entry: string
  readonly modelPath: string
  readonly threads: number
  readonly maxSessions: number
  readonly contextTokens: number
  /** Tokens of all sessions together. */
  readonly poolTokens: number
  readonly kvBytesPerToken: number
  /** For caches, run folders and logs. */
  readonly homeFolder: string
}

type DeosName = Exclude<ContenderName, 'llamaServer'>

/** By which flags `deos serve` leaves a feature out. */
const variantFlags = (name: DeosName, { contextTokens }: DeosServerOptions): readonly string[] => {
  if (name === 'withoutPrefixCache') return ['--no-prefix-cache']
  // No prompt is longer than the context, so none is cut.
  if (name === 'wholePrompts') return ['--prefill-chunk', String(contextTokens)]
  return []
}

const MODEL_NAME = 'bench'

/** `deos serve` with one worker: supervisor, gateway, worker and engine, each a process. */
export async function startDeos(name: DeosName, options: DeosServerOptions): Promise<Contender> {
  const { entry, modelPath, threads, maxSessions, contextTokens, homeFolder } = options
  const kvMebibytes = Math.ceil((options.poolTokens * options.kvBytesPerToken) / 2 ** 20)
  let ready: (url: string) => void
  const url = new Promise<string>((resolve) => {
    ready = resolve
  })
  const process_ = new ServerProcess({
    name: 'deos serve',
    file: process.execPath,
    args: [
      ...[entry, 'serve', '--json', '--model', modelPath, '--name', MODEL_NAME, '--port', '0'],
      ...['--workers', '1', '--even', '--threads', String(threads), '--kv', 'F16'],
      ...['--kv-memory', `${kvMebibytes}M`, '--context', String(contextTokens)],
      ...['--max-sessions', String(maxSessions), ...variantFlags(name, options)],
    ],
    env: { DEOS_HOME: homeFolder, DEOS_API_KEY: '', DEOS_LOG_LEVEL: 'warn' },
    logFile: join(homeFolder, `${name}.log`),
    onLine: (line) => {
      const event = JSON.parse(line) as { event?: unknown; url?: unknown }
      if (event.event === 'ready') ready(String(event.url))
    },
  })
  const client = new CompletionClient(await process_.whenReady(url), MODEL_NAME)
  return { name, client, process: process_ }
}
