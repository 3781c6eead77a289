import { type MachineId, type MachineLocation, machineId } from '@deos/domain'
import { gt, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { machineSettings } from '../database/schema/index.ts'
import type { Price } from '../database/schema/prices.ts'

/** What operators say of a machine; null leaves it to the machine. */
export interface MachineSettings {
  readonly name: string | null
  readonly location: MachineLocation | null
  readonly pricePerHour: Price | null
}

/** What is left out stays as it is. */
export type SettingsChanges = { readonly [K in keyof MachineSettings]?: MachineSettings[K] | undefined }

const nothingSet: MachineSettings = { name: null, location: null, pricePerHour: null }
/** Clocks of control planes may differ by so much. */
const overlapMs = 5_000

export class MachineSettingsTable {
  readonly #settings = new Map<MachineId, MachineSettings>()
  #version = 0
  #readUntilMs = Number.NEGATIVE_INFINITY

  constructor(private readonly database: Database) {}

  /** Grows with every change. */
  get version(): number {
    return this.#version
  }

  of(machine: MachineId): MachineSettings {
    return this.#settings.get(machine) ?? nothingSet
  }

  /** Reads what has changed since the last time; true if something has. */
  async refresh(): Promise<boolean> {
    const rows = await this.database.queries
      .select()
      .from(machineSettings)
      .where(
        this.#readUntilMs === Number.NEGATIVE_INFINITY
          ? undefined
          : gt(machineSettings.updatedAt, new Date(this.#readUntilMs - overlapMs)),
      )
    let changed = false
    for (const { machineId: id, name, location, pricePerHour, updatedAt } of rows) {
      if (this.#set(machineId(id), { name, location, pricePerHour })) changed = true
      this.#readUntilMs = Math.max(this.#readUntilMs, updatedAt.getTime())
    }
    return changed
  }

  /** To be followed by {@link refresh} once the transaction is over. */
  async write(queries: Queries, machine: MachineId, changes: SettingsChanges, now: Date): Promise<void> {
    const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
    await queries
      .insert(machineSettings)
      .values({ machineId: machine, ...nothingSet, ...given, updatedAt: now })
      .onConflictDoUpdate({ target: machineSettings.machineId, set: { ...given, updatedAt: now } })
  }

  #set(machine: MachineId, settings: MachineSettings): boolean {
    if (JSON.stringify(this.of(machine)) === JSON.stringify(settings)) return false
    this.#settings.set(machine, settings)
    this.#version += 1
    return true
  }
}

/** A machine that is removed begins anew if it comes back. */
export const forgottenSettings = nothingSet

/** Whoever gives machines names does so one after another, until their transaction ends. */
export async function lockNames(queries: Queries): Promise<void> {
  await queries.execute(sql`select pg_advisory_xact_lock(hashtext('machine names'))`)
}

/** @param queries - of a transaction that has called {@link lockNames} */
export async function settingsNamed(queries: Queries, name: string): Promise<readonly MachineId[]> {
  const rows = await queries
    .select({ id: machineSettings.machineId })
    .from(machineSettings)
    .where(sql`${machineSettings.name} = ${name}`)
  return rows.map(({ id }) => machineId(id))
}
