import { cachePasses, judgeListed, type ListedTokens, type ProbeVerdict } from '@deos/codec'
import { defaultSampling } from '@deos/domain'
import type { Backend, GenerateRequest } from '../inference/backend.ts'

/** The last positions of a prompt whose next token is looked at. */
export const GUARD_PROBES = 4
/** Tokens that are named at each of them. */
const LISTED = 64

/** What a ring makes of the last positions of a prompt. */
export interface PromptProbes {
  /** From the last position backwards. */
  readonly tokens: readonly ListedTokens[]
}

/**
 * Asks a ring for the likeliest next tokens at the last positions of a prompt: short requests that find the prompt's KV in
 * the ring's cache of prefixes, and compute what is less than a page behind it.
 *
 * @param scope - under which that KV is kept
 * @param onFirst - when the first of them is answered: the prompt is computed then
 * @throws InferenceError if the ring cannot answer
 */
export async function probePrompt(
  backend: Backend,
  request: GenerateRequest,
  { name, scope, count }: { readonly name: string; readonly scope: string; readonly count: number },
  signal: AbortSignal,
  onFirst: () => void = () => undefined,
): Promise<PromptProbes> {
  const { tokens, id, needs } = request
  const lengths = Array.from({ length: Math.min(count, tokens.length) }, (_, back) => tokens.length - back)
  let answered = false
  const probe = async (length: number): Promise<ListedTokens> => {
    const asked: GenerateRequest = {
      ...request,
      ...{ id: `${id}.${name}${tokens.length - length}`, tokens: tokens.slice(0, length), tenant: scope },
      ...{ maxTokens: 1, stopTokens: [], delivered: [], needs: { ...needs, grammar: null } },
      sampling: { ...defaultSampling, temperature: 0, logprobs: LISTED },
    }
    for await (const { sampled } of backend.generate(asked, signal)) {
      if (!answered) onFirst()
      answered = true
      return sampled.logprobs?.top ?? []
    }
    return []
  }
  return { tokens: await Promise.all(lengths.map(probe)) }
}

export interface GuardVerdict {
  readonly passes: boolean
  /** For people. */
  readonly text: string
}

/** Compares what the decode ring makes of KV that came with loss with what the prefill ring makes of its own. */
export function judgeProbes(exact: PromptProbes, found: PromptProbes): GuardVerdict {
  const verdicts: ProbeVerdict[] = exact.tokens.map((own, at) => judgeListed(own, found.tokens[at] ?? []))
  const passes = cachePasses(verdicts)
  const kl = verdicts.reduce((sum, verdict) => sum + verdict.kl, 0) / verdicts.length
  const differing = verdicts.filter(({ topAgrees }) => !topAgrees).length
  const tops = differing === 0 ? 'the same likeliest tokens' : `${differing} other likeliest tokens`
  return { passes, text: `${kl.toFixed(4)} nat over ${verdicts.length} positions, ${tops}` }
}
