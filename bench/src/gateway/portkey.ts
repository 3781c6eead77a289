import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ServerProcess } from '../serve/server-process.ts'
import type { ChatTarget } from './chat-load.ts'

export const portkeyPackage = '@portkey-ai/gateway'
export const portkeyVersion = '1.15.2'

export interface Portkey {
  readonly process: ServerProcess
  readonly target: ChatTarget
  readonly version: string
}

/** Why there is no peer in a folder; null if there is. */
export function whyNoPortkey(folder: string): string | null {
  const installed = join(folder, 'node_modules', portkeyPackage, 'package.json')
  const install = `npm i --prefix ${folder} ${portkeyPackage}@${portkeyVersion}`
  if (!existsSync(installed)) return `${portkeyPackage} is not in ${folder}; run: ${install}`
  const { version } = JSON.parse(readFileSync(installed, 'utf8')) as { version: string }
  if (version === portkeyVersion) return null
  return `${portkeyPackage} in ${folder} is ${version}, not ${portkeyVersion}; run: ${install}`
}

/** Portkey's gateway on Node as it is run in production, in front of an OpenAI-compatible upstream. */
export async function startPortkey(
  folder: string,
  upstreamUrl: string,
  model: string,
  logFolder: string,
): Promise<Portkey> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const process_ = new ServerProcess({
    name: 'Portkey',
    file: process.execPath,
    args: [
      join(folder, 'node_modules', portkeyPackage, 'build', 'start-server.js'),
      ...[`--port=${port}`, '--headless'],
    ],
    env: { NODE_ENV: 'production' },
    logFile: join(logFolder, 'portkey.log'),
  })
  await process_.whenReady(untilAnswering(origin))
  const headers = {
    ...{ 'content-type': 'application/json', authorization: 'Bearer fake' },
    ...{ 'x-portkey-provider': 'openai', 'x-portkey-custom-host': upstreamUrl },
  }
  const target = { origin, path: '/v1/chat/completions', headers, model }
  return { process: process_, target, version: portkeyVersion }
}

async function untilAnswering(url: string): Promise<void> {
  for (;;) {
    try {
      await fetch(url)
      return
    } catch {
      // It does not listen yet.
      await sleep(50)
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
