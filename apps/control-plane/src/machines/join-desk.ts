import { createHash } from 'node:crypto'
import { type AnswerOf, ProblemError, type RequestOf, type Routes } from '@deos/api'
import type { MachineId, MachineLocation, OrganisationId } from '@deos/domain'
import {
  decideFleet,
  FleetError,
  type FleetEvent,
  type FleetState,
  foldFleet,
  incarnationOf,
  type JoinMachine,
  type JoinToken,
  type Machine,
} from '@deos/fleet'
import { eq } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { joinTokenDetails } from '../database/schema/index.ts'
import type { Challenges } from './challenges.ts'
import type { FleetLog } from './fleet-log.ts'
import type { IssuedCredential, MachineCredentials } from './machine-credentials.ts'
import { fingerprintOf, isSignedBy, keyBytes } from './machine-key.ts'
import { uniqueName } from './machine-names.ts'
import { lockNames, type MachineSettingsTable, settingsNamed } from './machine-settings.ts'
import { iso, nameOf } from './machine-view.ts'
import { assertOwnAddress } from './own-address.ts'
import { leftByOwner } from './owner-drain.ts'

type Join = RequestOf<Routes['worker']['join']>['body']
type Challenge = Omit<AnswerOf<Routes['worker']['challenge']>, 'relay'>

export interface JoinDeskParts {
  readonly log: FleetLog
  readonly database: Database
  readonly challenges: Challenges
  readonly credentials: MachineCredentials
  readonly settings: MachineSettingsTable
}

export interface JoinedMachine {
  readonly machine: Machine
  readonly name: string
  readonly credential: string
  readonly peerSecret: string
}

const nowhere: MachineLocation = { region: 'unknown', provider: 'unknown' }
const namelessMachine = 'machine'
/** As many names may be snatched away between choosing and writing. */
const attempts = 5

/** Another control plane gave the name away meanwhile. */
class NameTakenError extends Error {
  override readonly name = 'NameTakenError'
}

/** Where processes prove to be a machine. */
export class JoinDesk {
  constructor(private readonly parts: JoinDeskParts) {}

  challenge(publicKey: string): Challenge {
    const { log, challenges } = this.parts
    const key = keyBytes(publicKey)
    const incarnation = incarnationOf(log.state, fingerprintOf(key))
    const { challenge, expiresAtMs } = challenges.issue(key, incarnation, log.nowMs)
    return { challenge, expiresAt: iso(expiresAtMs), incarnation }
  }

  /** Whether a machine with this key has joined and was not removed. */
  knows(publicKey: string): boolean {
    const known = machineWith(this.parts.log.state, fingerprintOf(keyBytes(publicKey)))
    return known !== null && known.removal === null
  }

  /**
   * @throws ProblemError if the challenge or its signature is not good
   * @throws FleetError if the fleet refuses the machine
   */
  async join(body: Join): Promise<JoinedMachine> {
    const { log, challenges, settings } = this.parts
    const key = keyBytes(body.publicKey)
    challenges.check(body.challenge, key, body.after, log.nowMs)
    if (!isSignedBy(key, body.challenge, body.signature)) {
      throw new ProblemError('unauthenticated', 'The signature is not one of the challenge by this key.', {
        code: 'SIGNATURE_WRONG',
        hint: 'Sign the UTF-8 bytes of the challenge with the Ed25519 key whose public half is sent.',
      })
    }
    const fingerprint = fingerprintOf(key)
    assertOwnAddress(fingerprint, body.linkAddress)
    await log.refresh()
    const location = await this.#locationFor(body, fingerprint)
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#append(body, fingerprint, location)
      } catch (error) {
        if (!(error instanceof NameTakenError) || attempt === attempts) throw error
        await settings.refresh()
      }
    }
  }

  async #append(body: Join, fingerprint: string, location: MachineLocation): Promise<JoinedMachine> {
    const { log, credentials } = this.parts
    const known = machineWith(log.state, fingerprint)
    const outcome: { joined: Machine | null; issued: IssuedCredential | null } = {
      joined: null,
      issued: null,
    }
    await log.change(
      known === null ? { kind: 'system' } : { kind: 'machine', id: known.id },
      (state) => this.#decide(state, body, fingerprint, location),
      async (queries, events, state) => {
        const joined = machineWith(state, fingerprint)!
        await this.#assertFree(queries, events, state)
        outcome.joined = joined
        // A machine whose version does not fit is known, and waits; it has nothing to say meanwhile.
        if (joined.protocol === null) return
        outcome.issued = await credentials.issue(queries, holder(joined), body.linkAddress)
      },
    )
    return this.#answer(outcome.joined!, outcome.issued)
  }

  #decide(
    state: FleetState,
    body: Join,
    fingerprint: string,
    location: MachineLocation,
  ): readonly FleetEvent[] {
    const { log } = this.parts
    const known = machineWith(state, fingerprint)
    const token = body.token === null ? null : tokenWith(state, body.token)
    const command: JoinMachine = {
      type: 'join',
      fingerprint,
      process: body.process,
      after: body.after,
      token: token && { id: token.id, secretDigest: token.secretDigest },
      name: this.#nameFor(state, body, known, known?.organisation ?? token?.organisation ?? null),
      location,
      software: { version: body.version, protocol: body.protocols },
    }
    const events = log.decide(state, command)
    const joins = events.some(({ type }) => type === 'machineJoined')
    if (!joins || known === null || known.removal !== null || !leftByOwner(known)) return events
    const reason = 'Its owner started it again.'
    const uncordon = decideFleet(
      foldFleet(events, state),
      { type: 'uncordon', machine: known.id, reason },
      log.context,
    )
    if (uncordon instanceof FleetError) throw uncordon
    return [...events, ...uncordon]
  }

  #nameFor(
    state: FleetState,
    { name }: Join,
    known: Machine | null,
    organisation: OrganisationId | null,
  ): string {
    const { settings } = this.parts
    const taken = new Set<string>()
    for (const machine of state.machines.values()) {
      if (machine.organisation !== organisation || machine.removal !== null || machine.id === known?.id)
        continue
      taken.add(nameOf(machine, settings.of(machine.id)))
    }
    const current = known?.removal === null ? known.name : null
    return uniqueName(name ?? current ?? namelessMachine, taken, current)
  }

  /** That nobody was renamed to the new machine's name while it was chosen. */
  async #assertFree(queries: Queries, events: readonly FleetEvent[], state: FleetState): Promise<void> {
    const joined = events.find(({ type }) => type === 'machineJoined')
    if (joined?.type !== 'machineJoined') return
    await lockNames(queries)
    for (const id of await settingsNamed(queries, joined.name)) {
      const other = state.machines.get(id)
      if (other === undefined || id === joined.machine || other.removal !== null) continue
      if (other.organisation === joined.organisation) throw new NameTakenError(joined.name)
    }
  }

  #answer(machine: Machine, issued: IssuedCredential | null): JoinedMachine {
    const { credentials, settings } = this.parts
    if (issued === null) {
      const quarantine = machine.quarantines.find(({ cause }) => cause === 'version')!
      throw new FleetError('MACHINE_VERSION', quarantine.reason)
    }
    credentials.issued(holder(machine), issued)
    return {
      machine,
      name: nameOf(machine, settings.of(machine.id)),
      credential: issued.credential,
      peerSecret: issued.peer.secret.toString('hex'),
    }
  }

  /** What the machine says of itself, else what its token says, else what was known of it. */
  async #locationFor(body: Join, fingerprint: string): Promise<MachineLocation> {
    const { log, database } = this.parts
    if (body.location !== null) return body.location
    const before = machineWith(log.state, fingerprint)?.location ?? nowhere
    const token = body.token === null ? null : tokenWith(log.state, body.token)
    if (token === null) return before
    const [details] = await database.queries
      .select({ location: joinTokenDetails.location })
      .from(joinTokenDetails)
      .where(eq(joinTokenDetails.id, token.id))
    return details?.location ?? before
  }
}

function machineWith(state: FleetState, fingerprint: string): Machine | null {
  const id: MachineId | undefined = state.byFingerprint.get(fingerprint)
  return id === undefined ? null : state.machines.get(id)!
}

const holder = ({ id, organisation, incarnation }: Machine) => ({ machine: id, organisation, incarnation })

/** One that the fleet does not know is left for the fleet to refuse. */
function tokenWith(
  state: FleetState,
  secret: string,
): Pick<JoinToken, 'id' | 'secretDigest'> & { readonly organisation: OrganisationId | null } {
  const secretDigest = createHash('sha256').update(secret).digest('hex')
  for (const token of state.tokens.values()) if (token.secretDigest === secretDigest) return token
  return { id: 'unknown', secretDigest, organisation: null }
}
