import { randomBytes } from 'node:crypto'
import { type MachineId, machineId, type OrganisationId, organisationId } from '@deos/domain'
import type { FleetState } from '@deos/fleet'
import { and, desc, eq, inArray, lte } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { machineCredentials } from '../database/schema/index.ts'
import { digestOf, newSecret } from '../http/secrets.ts'

export interface CredentialHolder {
  readonly machine: MachineId
  readonly organisation: OrganisationId
  readonly incarnation: number
}

/** How others reach the present process of a machine. */
interface Peer {
  readonly incarnation: number
  readonly secret: Buffer
  readonly linkAddress: string | null
}

export interface IssuedCredential {
  /** To be shown to the machine and to nobody else. */
  readonly credential: string
  readonly peer: Peer
}

/** Processes of earlier incarnations that are still told that they are fenced. */
const rememberedIncarnations = 8
const cachedHolders = 20_000

/** Credentials of machines: what is asked with every call is kept in memory. */
export class MachineCredentials {
  readonly #holders = new Map<string, CredentialHolder>()
  readonly #peers = new Map<MachineId, Peer>()

  #version = 0

  constructor(private readonly database: Database) {}

  /** Grows with every change of a peer. */
  get version(): number {
    return this.#version
  }

  /**
   * Replaces the credential of the incarnation; its peer secret stays the same.
   *
   * @param queries - of the transaction that appends the join
   */
  async issue(
    queries: Queries,
    { machine, organisation, incarnation }: CredentialHolder,
    linkAddress: string | null,
  ): Promise<IssuedCredential> {
    const credential = newSecret('deos_m_')
    const digest = digestOf(credential)
    const [row] = await queries
      .insert(machineCredentials)
      .values({
        machineId: machine,
        organisationId: organisation,
        incarnation,
        digest,
        peerSecret: randomBytes(32).toString('hex'),
        linkAddress,
      })
      .onConflictDoUpdate({
        target: [machineCredentials.machineId, machineCredentials.incarnation],
        set: { digest, linkAddress },
      })
      .returning({ peerSecret: machineCredentials.peerSecret })
    await queries
      .delete(machineCredentials)
      .where(
        and(
          eq(machineCredentials.machineId, machine),
          lte(machineCredentials.incarnation, incarnation - rememberedIncarnations),
        ),
      )
    return { credential, peer: { incarnation, secret: Buffer.from(row!.peerSecret, 'hex'), linkAddress } }
  }

  /** After the transaction of {@link issue}. */
  issued(holder: CredentialHolder, { credential, peer }: IssuedCredential): void {
    for (const [digest, known] of this.#holders) {
      if (known.machine === holder.machine) this.#holders.delete(digest)
    }
    this.#remember(digestOf(credential), holder)
    this.#peers.set(holder.machine, peer)
    this.#version += 1
  }

  /** @param digest - `sha256:…` of a credential; null if it is none */
  async holderOf(digest: string): Promise<CredentialHolder | null> {
    const known = this.#holders.get(digest)
    if (known !== undefined) return known
    const [row] = await this.database.queries
      .select()
      .from(machineCredentials)
      .where(eq(machineCredentials.digest, digest))
    if (row === undefined) return null
    const holder = {
      machine: machineId(row.machineId),
      organisation: organisationId(row.organisationId),
      incarnation: row.incarnation,
    }
    this.#remember(digest, holder)
    return holder
  }

  /** Null as long as it is not known here. */
  peer(machine: MachineId): Peer | null {
    return this.#peers.get(machine) ?? null
  }

  /** Looks up the processes that joined at other control planes. */
  async follow({ machines }: FleetState): Promise<boolean> {
    const behind: MachineId[] = []
    for (const { id, incarnation, removal, protocol } of machines.values()) {
      if (removal === null && protocol !== null && this.#peers.get(id)?.incarnation !== incarnation)
        behind.push(id)
    }
    if (behind.length === 0) return false
    const rows = await this.database.queries
      .selectDistinctOn([machineCredentials.machineId])
      .from(machineCredentials)
      .where(inArray(machineCredentials.machineId, behind))
      .orderBy(machineCredentials.machineId, desc(machineCredentials.incarnation))
    let changed = false
    for (const { machineId: id, incarnation, peerSecret, linkAddress } of rows) {
      const known = this.#peers.get(machineId(id))
      if (known !== undefined && known.incarnation >= incarnation) continue
      this.#peers.set(machineId(id), { incarnation, secret: Buffer.from(peerSecret, 'hex'), linkAddress })
      changed = true
      this.#version += 1
    }
    return changed
  }

  #remember(digest: string, holder: CredentialHolder): void {
    if (this.#holders.size >= cachedHolders) this.#holders.clear()
    this.#holders.set(digest, holder)
  }
}
