import { DEFAULT_GUARD, type ProbeVerdict, singleProbePasses } from './quality-guard.ts'

/** The likeliest tokens at one position, most likely first, with the logarithms of their probabilities. */
export type ListedTokens = readonly { readonly token: number; readonly logprob: number }[]

/**
 * Compares two lists of likeliest tokens of one position where neither side has all logits: what both name is compared by
 * itself, everything else as one. A lower bound of the divergence, close where the lists hold nearly all probability.
 *
 * @param exact - what the exact cache says
 * @param found - what the cache that arrived says
 */
export function judgeListed(exact: ListedTokens, found: ListedTokens, limits = DEFAULT_GUARD): ProbeVerdict {
  const [likeliest] = exact
  const [best] = found
  if (likeliest === undefined || best === undefined)
    return { kl: Number.POSITIVE_INFINITY, topAgrees: false, passes: false }
  const others = new Map(found.map(({ token, logprob }) => [token, logprob]))
  let [kl, mass, exactMass] = [0, 0, 0]
  for (const { token, logprob } of exact) {
    const other = others.get(token)
    if (other === undefined) continue
    kl += Math.exp(logprob) * (logprob - other)
    exactMass += Math.exp(logprob)
    mass += Math.exp(other)
  }
  const [exactRest, rest] = [Math.max(0, 1 - exactMass), Math.max(1e-12, 1 - mass)]
  if (exactRest > 1e-9) kl += exactRest * Math.log(exactRest / rest)
  const same = exact.find(({ token }) => token === best.token)
  const topAgrees =
    same !== undefined &&
    (same.token === likeliest.token || likeliest.logprob - same.logprob <= limits.topMargin)
  return { kl, topAgrees, passes: topAgrees && singleProbePasses(kl, limits) }
}
