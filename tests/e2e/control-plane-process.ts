import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ApiClient, connect } from '@deos/sdk'

const script = fileURLToPath(new URL('../../dist/control-plane.mjs', import.meta.url))

export const randomSecret = (prefix: string): string => `${prefix}${randomBytes(32).toString('base64url')}`

/** What processes of one installation share. */
export interface InstallationSecrets {
  /** A key of the first organisation with all scopes. */
  readonly bootstrapKey: string
  readonly gatewayToken: string
}

export const newInstallation = (): InstallationSecrets => ({
  bootstrapKey: randomSecret('deos_k_'),
  gatewayToken: randomSecret('deos_g_'),
})

export interface Ready {
  readonly url: string
  readonly setupUrl: string | null
}

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The built control plane as a process of its own, and all that it says. */
export class ControlPlaneProcess {
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ending>
  readonly #child: ChildProcess
  readonly #ready: Promise<Ready>
  readonly #kill = () => {
    this.#child.kill('SIGKILL')
  }

  /**
   * @param words - arguments; a port is taken that is free unless they name one
   * @param stdin - a pipe is a supervisor's
   */
  constructor(
    words: readonly string[],
    env: Readonly<Record<string, string>> = {},
    stdin: 'ignore' | 'pipe' = 'ignore',
  ) {
    if (!existsSync(script)) throw new Error(`${script} does not exist. Run "npm run build" first.`)
    const port = words.includes('--port') ? [] : ['--port', '0']
    this.#child = spawn(process.execPath, [script, ...port, ...words], {
      env: { ...withoutOwn(process.env), ...env },
      stdio: [stdin, 'pipe', 'pipe'],
    })
    process.on('exit', this.#kill)
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        process.off('exit', this.#kill)
        resolve({ code, signal })
      })
    })
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    this.#ready = new Promise((resolve, reject) => {
      this.#child.stdout!.on('data', (chunk: Buffer) => {
        this.stdout += chunk.toString()
        const [line, rest] = this.stdout.split('\n')
        if (rest !== undefined) resolve(JSON.parse(line!) as Ready)
      })
      void this.ended.then(({ code }) => {
        reject(new Error(`The control plane ended with ${code}: ${this.stderr}`))
      })
    })
    this.#ready.catch(() => {})
  }

  /** @throws Error with all it said if it ends before it is ready */
  ready(): Promise<Ready> {
    return this.#ready
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** What a supervisor does that dies. */
  endInput(): void {
    this.#child.stdin!.end()
  }

  async stop(): Promise<Ending> {
    this.signal('SIGTERM')
    return this.ended
  }

  async client(token: string): Promise<ApiClient> {
    return connect({ url: (await this.ready()).url, token })
  }
}

/** Who runs the tests may have an installation of their own. */
function withoutOwn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = ['DATABASE_URL', 'HF_TOKEN']
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !own.includes(name) && !name.startsWith('DEOS_')),
  )
}

export const installationEnv = ({ bootstrapKey, gatewayToken }: InstallationSecrets) => ({
  DEOS_BOOTSTRAP_KEY: bootstrapKey,
  DEOS_GATEWAY_TOKEN: gatewayToken,
})
