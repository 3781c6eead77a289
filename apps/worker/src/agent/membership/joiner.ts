import type { ApiClient } from '@deos/sdk'
import { MachineFencedError } from '../agent-error.ts'
import type { MachineIdentity } from '../machine/machine-identity.ts'

type JoinBody = Parameters<ApiClient['worker']['join']>[0]['body']
export type MissingReport = 'inventory' | 'benchmark'

/** This process as a machine of the fleet. */
export interface Membership {
  readonly machineId: string
  readonly name: string
  readonly incarnation: number
  readonly credential: string
  readonly peerSecret: Uint8Array
  readonly heartbeatMs: number
  readonly missingReport: MissingReport | null
  /** Where other machines reach it; null behind a NAT without a relay. */
  readonly linkAddress: string | null
  /** Speaks as this machine. */
  readonly client: ApiClient
}

export interface JoinerOptions
  extends Required<Pick<JoinBody, 'token' | 'name' | 'location' | 'version' | 'protocols'>> {
  /** Random, of this process. */
  readonly process: string
}

export interface JoinerParts {
  readonly identity: MachineIdentity
  /** @param credential - null for who has none yet */
  readonly connect: (credential: string | null) => ApiClient
  /** @param relay - that the control plane offers; null if it has none */
  readonly linkAddress: (relay: string | null) => Promise<string | null>
}

const CALL_MS = 15_000

/** Proves to the control plane who this machine is. */
export class Joiner {
  /** Of this process as far as it knows; null before it has joined. */
  #incarnation: number | null = null
  /** A join whose answer was lost may have made a new one. */
  #highest = 0

  constructor(
    private readonly options: JoinerOptions,
    private readonly parts: JoinerParts,
  ) {}

  get hasJoined(): boolean {
    return this.#incarnation !== null
  }

  /**
   * One attempt.
   *
   * @throws MachineFencedError if another process has become this machine meanwhile; ApiError
   */
  async join(signal: AbortSignal): Promise<Membership> {
    const { identity, connect } = this.parts
    const client = connect(null)
    const limited = () => AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)])
    const { publicKey } = identity
    const {
      challenge,
      incarnation: after,
      relay,
    } = await client.worker.challenge({
      body: { publicKey },
      signal: limited(),
    })
    this.#assertNewest(after)
    const linkAddress = await this.parts.linkAddress(relay)
    this.#highest = Math.max(this.#highest, after + 1)
    const joined = await client.worker.join({
      body: {
        ...this.options,
        publicKey,
        challenge,
        signature: identity.signText(challenge),
        after,
        linkAddress,
      },
      signal: limited(),
    })
    const { machineId, name, incarnation, credential, peerSecret, lease, missingReport } = joined
    this.#incarnation = incarnation
    this.#highest = incarnation
    return {
      ...{ machineId, name, incarnation, credential, missingReport, linkAddress },
      peerSecret: Buffer.from(peerSecret, 'hex'),
      heartbeatMs: lease.heartbeatMs,
      client: connect(credential),
    }
  }

  /** Of two processes with one key the later stays: this one must not fence the one that came after it. */
  #assertNewest(known: number): void {
    if (this.#incarnation === null || known <= this.#highest) return
    throw new MachineFencedError(
      `Another process joined as this machine: its incarnation is ${known}, that of this process was ${this.#incarnation}.`,
    )
  }
}
