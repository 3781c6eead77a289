import { z } from 'zod'

/** What members may do; suppliers keep machines and see what they earn, and nothing of models and deployments. */
export const roles = ['owner', 'admin', 'developer', 'viewer', 'supplier'] as const
export const roleSchema = z.enum(roles)
export type Role = z.output<typeof roleSchema>
