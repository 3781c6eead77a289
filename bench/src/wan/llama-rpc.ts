import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { EmulatedSite } from '@deos/wan'
import type { CompletionClient } from '../serve/completion-client.ts'
import { type Contender, stopContender } from '../serve/contender.ts'
import { freePort } from '../serve/free-port.ts'
import { type SharedLibraries, shareLibraries } from '../serve/llama-libraries.ts'
import { startLlamaServer } from '../serve/llama-server.ts'
import { ServerProcess } from '../serve/server-process.ts'
import type { LlamaRpcBinaries } from './llama-rpc-binaries.ts'
import { SiteTunnel } from './site-tunnel.ts'

export interface LlamaRpcOptions {
  readonly binaries: LlamaRpcBinaries
  /** Where its RPC servers stand; its main process stands beside the first, as the gateway of a ring does. */
  readonly sites: readonly EmulatedSite[]
  /** A GGUF file. */
  readonly modelPath: string
  readonly slots: number
  readonly slotTokens: number
  /** Of links to other programs, and logs. */
  readonly folder: string
}

const POLL_MS = 50

/** llama.cpp's server, whose layers lie in equal parts on RPC servers across an emulated network. */
export class LlamaRpc {
  private readonly servers: ServerProcess[] = []
  private readonly tunnels: SiteTunnel[] = []
  private main: Contender | null = null
  private readonly libraries: SharedLibraries

  private constructor(private readonly options: LlamaRpcOptions) {
    this.libraries = shareLibraries(options.binaries.server, join(options.folder, 'libraries'))
  }

  /** @throws ServerFailedError if a process ends before it is ready */
  static async start(options: LlamaRpcOptions): Promise<LlamaRpc> {
    const peer = new LlamaRpc(options)
    try {
      await peer.launch()
      return peer
    } catch (error) {
      await peer.stop()
      throw error
    }
  }

  get client(): CompletionClient {
    return this.main!.client
  }

  /** Whose libraries it computes with. */
  get note(): string {
    return this.libraries.note
  }

  async stop(): Promise<void> {
    if (this.main !== null) await stopContender(this.main)
    for (const tunnel of this.tunnels) tunnel.close()
    await Promise.all(this.servers.map((server) => server.stop()))
  }

  private async launch(): Promise<void> {
    const { binaries, sites, modelPath, slots, slotTokens, folder } = this.options
    for (const site of sites) await this.launchAt(site)
    const addresses = this.tunnels.map(({ port }) => `127.0.0.1:${port}`)
    this.main = await startLlamaServer({
      ...{ binary: binaries.server, libraries: this.libraries, modelPath, threads: 1 },
      ...{ slots, slotTokens, kv: 'separate', logFolder: folder },
      moreArgs: [
        ...['--rpc', addresses.join(','), '--gpu-layers', '999', '--fit', 'off'],
        ...['--split-mode', 'layer', '--tensor-split', sites.map(() => 1).join(',')],
      ],
    })
  }

  private async launchAt(site: EmulatedSite): Promise<void> {
    const target = { host: site.host, port: await freePort(site.host) }
    const server = new ServerProcess({
      name: `ggml-rpc-server of ${site.name}`,
      file: this.options.binaries.rpcServer,
      args: ['--host', target.host, '--port', String(target.port), '--threads', '1', '--device', 'CPU'],
      env: this.libraries.env,
      ...(this.libraries.cwd !== null && { cwd: this.libraries.cwd }),
      logFile: join(this.options.folder, `rpc-${site.name}.log`),
    })
    this.servers.push(server)
    const gaveUp = new AbortController()
    try {
      await server.whenReady(untilListening(target, gaveUp.signal))
    } finally {
      gaveUp.abort()
    }
    this.tunnels.push(await SiteTunnel.open(this.options.sites[0]!.proxy, target))
  }
}

async function untilListening(target: { host: string; port: number }, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const socket = connect(target)
    const reached = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (reached) return
    await setTimeout(POLL_MS)
  }
}
