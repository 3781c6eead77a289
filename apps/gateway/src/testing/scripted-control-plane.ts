import { createHash } from 'node:crypto'
import {
  type AccessGrant,
  type AnsweredRequest,
  type ApiClient,
  ProblemError,
  type RouteTarget,
  type RoutingState,
  routes,
  routingStateSchema,
} from '@deos/api'
import { MockApi } from '@deos/api/testing'
import { connect } from '@deos/sdk'

export const digestOf = (secret: string): string =>
  `sha256:${createHash('sha256').update(secret).digest('hex')}`

const unlimited = { requestsPerMinute: null, tokensPerMinute: null }

/** What a key of the first organisation may do, unless a test says otherwise. */
export function grantOf(changes: Record<string, unknown> = {}): AccessGrant {
  return {
    organisationId: 'org-a',
    projectId: 'project-a',
    keyId: 'key-a',
    userId: null,
    scopes: ['inference'],
    expiresAt: null,
    keyRateLimit: unlimited,
    projectRateLimit: unlimited,
    ...changes,
  } as AccessGrant
}

export interface TargetChanges {
  readonly organisation?: string
  readonly name?: string
  readonly aliases?: readonly string[]
  readonly prices?: RouteTarget['prices']
  /** Names of rings; each is a replica of its own. */
  readonly rings?: readonly string[]
  readonly fingerprint?: string
  /** Of rings where prompts are computed elsewhere. */
  readonly roles?: Readonly<Record<string, 'prefill' | 'decode'>>
}

/** A deployment of the byte model. */
export function targetOf(changes: TargetChanges = {}): RouteTarget {
  const { organisation = 'org-a', name = 'bytes', aliases = [], prices = null, rings = ['ring-1'] } = changes
  const state = routingStateSchema.parse({
    version: 0,
    accessVersion: 0,
    targets: [
      {
        organisationId: organisation,
        projectId: 'project-a',
        deploymentId: `deployment-${organisation}-${name}`,
        name,
        aliases,
        model: { id: 'model-1', name: 'bytes', fingerprint: changes.fingerprint ?? 'bytes', files: [] },
        contextTokens: 512,
        split: changes.roles === undefined ? null : { prefillReplicas: 1, kvQuality: 'lossless' },
        prices,
        replicas: rings.map((ring) => ({
          replicaId: `replica-${ring}`,
          generation: 1,
          ring,
          ringSecret: '5e'.repeat(32),
          leader: `${ring}:1`,
          tail: `${ring}:2`,
          machines: ['machine-a'],
          role: changes.roles?.[ring] ?? 'both',
          stages: [`${ring}:1`, `${ring}:2`],
          predictedTokenMs: null,
        })),
        createdAt: '2026-01-05T09:30:00.000Z',
      },
    ],
  })
  return state.targets[0]!
}

export const pricesOf = (prompt: number, cached: number, completion: number): RouteTarget['prices'] => ({
  promptPerMillion: { currency: 'USD', microUnits: String(prompt) },
  cachedPromptPerMillion: { currency: 'USD', microUnits: String(cached) },
  completionPerMillion: { currency: 'USD', microUnits: String(completion) },
})

/** A control plane whose part the test plays, behind the API's own checks. */
export class ScriptedControlPlane {
  readonly grants = new Map<string, AccessGrant>()
  readonly asked: string[] = []
  readonly reserved: {
    readonly requestId: string
    readonly microUnits: string
    readonly durationMs: number
  }[] = []
  /** Each record as often as it was handed over. */
  readonly recorded: AnsweredRequest[] = []
  readonly reports: { readonly routingVersion: number; readonly replicas: readonly { open: number }[] }[] = []
  /** How many gateways it says there are. */
  gateways = 1
  budgetLeft = true
  #away = false
  #state: RoutingState = { version: 1, accessVersion: 1, targets: [] }
  #tell = new Set<() => void>()
  readonly client: ApiClient['gateway']

  constructor() {
    const api = new MockApi(routes, {
      gateway: {
        followRouting: () => this.#follow(),
        access: ({ body }) => {
          this.asked.push(body.digest)
          const grant = this.grants.get(body.digest)
          if (grant === undefined) throw new ProblemError('unauthenticated', 'The key is unknown.')
          return grant
        },
        reserve: ({ body }) => {
          if (!this.budgetLeft) throw new ProblemError('budget-exhausted', 'The budget is used up.')
          const { requestId, price, durationMs } = body
          this.reserved.push({ requestId, microUnits: price.microUnits, durationMs })
          return { requestId, expiresAt: '2026-01-05T09:30:00.000Z' }
        },
        record: ({ body }) => {
          this.recorded.push(...(body.requests as readonly AnsweredRequest[]))
          return undefined
        },
        report: ({ body }) => {
          this.reports.push(body)
          return { gateways: this.gateways, routingVersion: this.#state.version }
        },
      },
    })
    this.client = connect({
      url: 'http://control.invalid',
      token: 'deos_g_scripted',
      reconnect: { maxAttempts: 0 },
      retry: { maxAttempts: 1 },
      fetch: async (url, init) => {
        if (this.#away) throw new TypeError('away as played')
        return endedBy(init.signal ?? null, await api.fetch(url, init))
      },
    }).gateway
  }

  /** Makes a key known. */
  grant(secret: string, changes: Record<string, unknown> = {}): void {
    this.grants.set(digestOf(secret), grantOf(changes))
  }

  route(...targets: readonly RouteTarget[]): void {
    this.#change({ targets: [...targets] })
  }

  /** Something about keys changed. */
  bumpAccess(): void {
    this.#change({ accessVersion: this.#state.accessVersion + 1 })
  }

  get version(): number {
    return this.#state.version
  }

  set away(away: boolean) {
    this.#away = away
    this.#wake()
  }

  #change(changes: Partial<RoutingState>): void {
    this.#state = { ...this.#state, ...changes, version: this.#state.version + 1 }
    this.#wake()
  }

  #wake(): void {
    for (const tell of [...this.#tell]) tell()
  }

  async *#follow() {
    for (;;) {
      if (this.#away) throw new Error('away as played')
      const state = this.#state
      yield { id: String(state.version), data: state }
      while (state === this.#state && !this.#away) {
        await new Promise<void>((resolve) => {
          const tell = () => {
            this.#tell.delete(tell)
            resolve()
          }
          this.#tell.add(tell)
        })
      }
    }
  }
}

/** As `fetch` does it: an abort ends the body, too. */
function endedBy(signal: AbortSignal | null, response: Response): Response {
  if (signal === null || response.body === null) return response
  const body = response.body.pipeThrough(new TransformStream(), { signal })
  return new Response(body, { status: response.status, headers: response.headers })
}
