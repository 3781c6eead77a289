import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type ApiClient, connect } from '@deos/sdk'
import { controlPlaneFlags } from '@deos/service'
import { ServerProcess } from '../serve/server-process.ts'

export interface ControlPlaneOptions {
  /** `dist/control-plane.mjs`. */
  readonly entry: string
  /** From which models may be registered. */
  readonly modelFolder: string
  /** PostgreSQL; null is an embedded one that forgets everything. */
  readonly databaseUrl: string | null
  readonly logFolder: string
  /** Flags of Node, such as those of its profiler. */
  readonly nodeFlags?: readonly string[]
}

const secret = (prefix: string): string => `${prefix}${randomBytes(32).toString('base64url')}`

/** The built control plane with a key that may do everything. */
export class ControlPlaneProcess {
  private constructor(
    readonly process: ServerProcess,
    readonly url: string,
    readonly key: string,
    readonly gatewayToken: string,
  ) {}

  static async start(options: ControlPlaneOptions): Promise<ControlPlaneProcess> {
    const { entry, modelFolder, databaseUrl, logFolder, nodeFlags = [] } = options
    const [key, gatewayToken] = [secret('deos_k_'), secret('deos_g_')]
    let resolveUrl: (url: string) => void
    const url = new Promise<string>((resolve) => {
      resolveUrl = resolve
    })
    const process_ = new ServerProcess({
      name: 'control plane',
      file: process.execPath,
      args: [...controlPlaneFlags, ...nodeFlags, entry, '--port', '0', '--model-folders', modelFolder],
      env: {
        DEOS_BOOTSTRAP_KEY: key,
        DEOS_GATEWAY_TOKEN: gatewayToken,
        DATABASE_URL: databaseUrl ?? '',
        DEOS_DATA: '',
        DEOS_LOG_LEVEL: 'warn',
      },
      logFile: join(logFolder, 'control-plane.log'),
      onLine: (line) => {
        const event = JSON.parse(line) as { ready?: unknown; url?: unknown }
        if (event.ready === true) resolveUrl(String(event.url))
      },
    })
    return new ControlPlaneProcess(process_, await process_.whenReady(url), key, gatewayToken)
  }

  client(): ApiClient {
    return connect({ url: this.url, token: this.key })
  }

  async joinToken(): Promise<string> {
    const { secret: token } = await this.client().joinTokens.create({ body: { name: 'bench' } })
    return token
  }

  /** Waits until the model has been read. @returns its id */
  async registerModel(path: string): Promise<string> {
    const client = this.client()
    const { id } = await client.models.create({ body: { source: { kind: 'path', path } } })
    for await (const { data } of client.models.watch({ params: { model: id } })) {
      if (data.state === 'ready') return id
      if (data.state === 'failed') throw new Error(`${path} could not be registered: ${data.reason.message}`)
    }
    throw new Error(`${path} was never registered.`)
  }

  stop(): Promise<void> {
    return this.process.stop()
  }
}
