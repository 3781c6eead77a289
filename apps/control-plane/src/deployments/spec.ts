import { type DeploymentSpec as ApiSpec, money, ProblemError, type RequestOf, type Routes } from '@deos/api'
import { ms, tokens, tokensPerSecond } from '@deos/domain'
import type { DeploymentSpec, DeploymentTarget } from '@deos/fleet'

export type ApiSpecChanges = RequestOf<Routes['deployments']['revise']>['body']['changes']
type GivenSpec = Required<{ [K in keyof ApiSpecChanges]: NonNullable<ApiSpecChanges[K]> }>

/** Only the fields that are there. */
export function specChanges(given: ApiSpecChanges, currency: string): Partial<DeploymentSpec> {
  const { modelId, contextTokens, sessions, precision, activations, target, replicas, policy, split } = given
  return {
    ...(modelId !== undefined && { model: modelId }),
    ...(contextTokens !== undefined && {
      contextTokens: contextTokens === null ? null : tokens(contextTokens),
    }),
    ...(sessions !== undefined && { sessions }),
    ...(precision !== undefined && { precision }),
    ...(activations !== undefined && { activations }),
    ...(target !== undefined && { target: targetOf(target, currency) }),
    ...(replicas !== undefined && { minReplicas: replicas.min, maxReplicas: replicas.max }),
    ...(policy !== undefined && { regions: policy.regions ?? null, providers: policy.providers ?? null }),
    ...(split !== undefined && {
      split: split === null ? null : { ...split, kvQuality: split.kvQuality ?? 'lossless' },
    }),
  }
}

function targetOf(target: GivenSpec['target'], currency: string): DeploymentTarget {
  const { ttftMs, tpotMs, tokensPerSecond: rate, pricePerMillionTokens: price } = target
  if (price !== undefined && price.currency !== currency) {
    throw new ProblemError(
      'validation',
      `The price is in ${price.currency}, but the organisation uses ${currency}.`,
      {
        hint: `State it in ${currency}.`,
      },
    )
  }
  return {
    ...(ttftMs !== undefined && { ttftMs: ms(ttftMs) }),
    ...(tpotMs !== undefined && { tpotMs: ms(tpotMs) }),
    ...(rate !== undefined && { tokensPerSecond: tokensPerSecond(rate) }),
    ...(price !== undefined && { pricePerMillionTokens: Number(price.microUnits) }),
  }
}

/** As the API shows it. */
export function apiSpec(spec: DeploymentSpec, currency: string): ApiSpec {
  const { ttftMs, tpotMs, tokensPerSecond: rate, pricePerMillionTokens: price } = spec.target
  return {
    modelId: spec.model,
    contextTokens: spec.contextTokens,
    sessions: spec.sessions,
    precision: spec.precision,
    activations: spec.activations,
    target: {
      ...(ttftMs !== undefined && { ttftMs }),
      ...(tpotMs !== undefined && { tpotMs }),
      ...(rate !== undefined && { tokensPerSecond: rate }),
      ...(price !== undefined && { pricePerMillionTokens: money(BigInt(price), currency) }),
    },
    replicas: { min: spec.minReplicas, max: spec.maxReplicas },
    policy: {
      regions: spec.regions === null ? null : [...spec.regions],
      providers: spec.providers === null ? null : [...spec.providers],
    },
    split: spec.split,
  }
}
