import { z } from 'zod'
import { WanError } from '../wan-error.ts'

const ms = z.number().min(0).max(60_000)
const mbps = z.number().gt(0).max(1_000_000)
const share = z.number().min(0).max(0.5)
const siteName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,39})$/, 'must be lower-case letters, digits and "-"')
const word = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be letters, digits, ".", "_" and "-"')

/** What a way between two sites, or inside one, is like. */
const linkShape = {
  /** Half of the round trip. */
  oneWayMs: ms,
  /** Absent is unlimited. Shared by all connections in one direction. */
  mbps: mbps.optional(),
  /** Delays lie evenly between `oneWayMs` and this much more. */
  jitterMs: ms.optional(),
  /** Share of packets that are lost. */
  loss: share.optional(),
}

const siteSchema = z.strictObject({
  name: siteName,
  region: word.optional(),
  provider: word.optional(),
  /** What its access line adds to every way to or from another site. */
  accessMs: ms.optional(),
  accessJitterMs: ms.optional(),
  accessLoss: share.optional(),
  /** Of its access line; shared by all that leaves, or comes to, the site. */
  upMbps: mbps.optional(),
  downMbps: mbps.optional(),
})

const schema = z
  .strictObject({
    name: siteName,
    title: z.string().min(1).max(200),
    /** Where the numbers are from, or that they are assumed. */
    source: z.string().min(1),
    licence: z.string().min(1),
    sites: z.array(siteSchema).min(1).max(200),
    /** Between machines of one site. */
    inside: z.strictObject(linkShape),
    /** Between sites without a link of their own. */
    otherwise: z.strictObject(linkShape).optional(),
    links: z.array(
      z.strictObject({
        from: siteName,
        to: siteName,
        ...linkShape,
        /** The other direction is another link, or `otherwise`. */
        directed: z.boolean().optional(),
      }),
    ),
  })
  .superRefine((profile, context) => {
    const problem = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message })
    const names = new Set<string>()
    for (const [index, { name }] of profile.sites.entries()) {
      if (names.has(name)) problem(['sites', index, 'name'], `"${name}" is there twice`)
      names.add(name)
    }
    const pairs = new Set<string>()
    for (const [index, link] of profile.links.entries()) {
      for (const end of ['from', 'to'] as const) {
        if (!names.has(link[end])) problem(['links', index, end], `"${link[end]}" is no site`)
      }
      if (link.from === link.to) problem(['links', index, 'to'], 'ways inside a site are in "inside"')
      const directions = link.directed ? [pairKey(link.from, link.to)] : bothKeys(link)
      for (const pair of directions) {
        if (pairs.has(pair)) problem(['links', index], `${link.from} to ${link.to} is there twice`)
        pairs.add(pair)
      }
    }
    if (profile.otherwise !== undefined) return
    for (const from of names) {
      for (const to of names) {
        if (from !== to && !pairs.has(pairKey(from, to)))
          problem(['links'], `nothing leads from ${from} to ${to}, and there is no "otherwise"`)
      }
    }
  })

/** Sites and what lies between them. Bandwidths are in Mbit/s, delays are one way. */
export type WanProfile = z.infer<typeof schema>
export type WanSite = WanProfile['sites'][number]

export const pairKey = (from: string, to: string): string => `${from} ${to}`

const bothKeys = ({ from, to }: { readonly from: string; readonly to: string }): readonly string[] => [
  pairKey(from, to),
  pairKey(to, from),
]

/**
 * @param source - where the value is from, for messages
 * @throws WanError naming each field that is wrong
 */
export function parseWanProfile(value: unknown, source: string): WanProfile {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.join('.') || 'the profile'}: ${message}`)
  throw new WanError(
    `${source} is no network profile: ${problems.join('; ')}.`,
    'docs/wan.md lists the fields of a profile.',
  )
}
