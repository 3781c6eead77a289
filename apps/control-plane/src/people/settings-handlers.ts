import type { Handlers, Routes, Settings } from '@deos/api'
import { eq } from 'drizzle-orm'
import { settings } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import type { PeopleParts } from './parts.ts'
import { checkBudget, checkCurrency, settingsOf, shownSettings } from './settings-table.ts'
import { toldEvent } from './told-events.ts'

const priceFields = ['promptPerMillion', 'cachedPromptPerMillion', 'completionPerMillion'] as const

export const settingsHandlers = ({
  database,
  events,
  now,
}: PeopleParts): Handlers<Routes, Caller>['settings'] => ({
  async show(_request, caller) {
    return shownSettings(await settingsOf(database.queries, organisationOf(caller)))
  },
  async update({ body }, caller) {
    const organisation = organisationOf(caller)
    const fields = Object.keys(body)
    return database.transaction(async (queries) => {
      const before = await settingsOf(queries, organisation)
      checkBudget(body.budget, before.currency)
      for (const field of priceFields) {
        checkCurrency(body.tokenPrices?.[field], before.currency, `tokenPrices.${field}`)
      }
      if (fields.length === 0) return shownSettings(before)
      const at = now()
      const { placementPolicy, ...rest } = body
      const [after] = await queries
        .update(settings)
        .set({
          ...rest,
          // What was checked is a copy already: nobody changes its lists.
          ...(placementPolicy && { placementPolicy: placementPolicy as Settings['placementPolicy'] }),
          updatedAt: at,
        })
        .where(eq(settings.organisationId, organisation))
        .returning()
      await events.tell(queries, [
        toldEvent('settings.changed', { fields }, { organisation, cause: caller.cause, at }),
      ])
      await database.notify(queries, 'routing')
      return shownSettings(after!)
    })
  },
})
