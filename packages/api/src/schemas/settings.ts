import { z } from 'zod'
import { component } from '../contract/registry.ts'
import { placementPolicySchema } from './deployment.ts'
import { currencySchema, priceSchema } from './money.ts'
import { budgetSchema } from './organisation.ts'
import { timestampSchema } from './time.ts'
import { outgoingUrlSchema } from './url.ts'

const retentionDays = z.int().min(1).max(3650)

/** What requests pay for a million tokens. */
export const tokenPricesSchema = component(
  'TokenPrices',
  z.strictObject({
    promptPerMillion: priceSchema,
    cachedPromptPerMillion: priceSchema,
    completionPerMillion: priceSchema,
  }),
)

const fields = {
  /** Of the whole organisation. */
  budget: budgetSchema.nullable(),
  /** Null lets everything be free. */
  tokenPrices: tokenPricesSchema.nullable(),
  /** For deployments that state none. */
  placementPolicy: placementPolicySchema,
  /** Where models come from; null is the public hub. */
  hubUrl: outgoingUrlSchema.nullable(),
  requestLogDays: retentionDays,
  eventDays: retentionDays,
}

export const settingsSchema = component(
  'Settings',
  z.object({ ...fields, currency: currencySchema, updatedAt: timestampSchema }),
)
export type Settings = z.output<typeof settingsSchema>

export const settingsUpdateSchema = component('SettingsUpdate', z.strictObject(fields).partial())
