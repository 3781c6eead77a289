import {
  type ActivationCoding,
  activationCodings,
  type Milliseconds,
  type ModelId,
  type Tokens,
  type TokensPerSecond,
  tokens,
} from '@deos/domain'
import { isWholeWithin, oneLine } from '../field-rules.ts'
import { invalidValue } from './deployment-error.ts'
import { checkSplit, type SplitPolicy, sameSplit } from './split-policy.ts'

/** What a deployment should achieve; what is missing does not matter. */
export interface DeploymentTarget {
  readonly ttftMs?: Milliseconds
  readonly tpotMs?: Milliseconds
  readonly tokensPerSecond?: TokensPerSecond
  /** In millionths of the unit of the organisation's currency. */
  readonly pricePerMillionTokens?: number
}

/** What people wish for. Never changed: a change makes a new revision. */
export interface DeploymentSpec {
  readonly model: ModelId
  /** The longest session, prompt and answer together; `null` is what the model was made for. */
  readonly contextTokens: Tokens | null
  /** Of that length, at once on one replica. */
  readonly sessions: number
  /** In which type weights are held: `native`, as the model comes, or a type's name: `F16`, `Q8_0`, … */
  readonly precision: string
  /** How hidden states travel between stages; int8 and int4h change answers. */
  readonly activations: ActivationCoding
  readonly target: DeploymentTarget
  readonly minReplicas: number
  readonly maxReplicas: number
  /** `null` allows every one. */
  readonly regions: readonly string[] | null
  readonly providers: readonly string[] | null
  /** `null`: prompts are computed where they are decoded. */
  readonly split: SplitPolicy | null
}

export const mostReplicas = 1000

/**
 * Tokens of all sessions of a replica together.
 *
 * @param modelTokens - what the model was made for
 */
export const kvTokensOf = ({ contextTokens, sessions }: DeploymentSpec, modelTokens: Tokens): Tokens =>
  tokens((contextTokens ?? modelTokens) * sessions)

/** Whether a replica made for one serves the other as it is: only bounds, targets and who computes prompts differ. */
export function sameRuntime(a: DeploymentSpec, b: DeploymentSpec): boolean {
  return (
    a.model === b.model &&
    a.contextTokens === b.contextTokens &&
    a.sessions === b.sessions &&
    a.precision === b.precision &&
    a.activations === b.activations &&
    sameNames(a.regions, b.regions) &&
    sameNames(a.providers, b.providers)
  )
}

export function sameSpec(a: DeploymentSpec, b: DeploymentSpec): boolean {
  return (
    sameRuntime(a, b) &&
    a.minReplicas === b.minReplicas &&
    a.maxReplicas === b.maxReplicas &&
    sameSplit(a.split, b.split) &&
    a.target.ttftMs === b.target.ttftMs &&
    a.target.tpotMs === b.target.tpotMs &&
    a.target.tokensPerSecond === b.target.tokensPerSecond &&
    a.target.pricePerMillionTokens === b.target.pricePerMillionTokens
  )
}

/** The same with names sorted, each once, and nothing else in it. */
export function checkSpec(spec: DeploymentSpec): DeploymentSpec {
  checkText('spec.model', spec.model, 200)
  if (spec.contextTokens !== null) checkInteger('spec.contextTokens', spec.contextTokens, 1, 2 ** 31)
  checkInteger('spec.sessions', spec.sessions, 1, 100_000)
  if (!/^[A-Za-z0-9_]{1,32}$/.test(spec.precision)) {
    throw invalidValue('spec.precision', spec.precision, '"native" or a weight type such as F16 or Q8_0')
  }
  if (!activationCodings.includes(spec.activations)) {
    throw invalidValue('spec.activations', spec.activations, `one of ${activationCodings.join(', ')}`)
  }
  checkInteger('spec.maxReplicas', spec.maxReplicas, 1, mostReplicas)
  checkInteger('spec.minReplicas', spec.minReplicas, 0, spec.maxReplicas)
  return {
    model: spec.model,
    contextTokens: spec.contextTokens,
    sessions: spec.sessions,
    precision: spec.precision,
    activations: spec.activations,
    target: checkTarget(spec.target),
    minReplicas: spec.minReplicas,
    maxReplicas: spec.maxReplicas,
    regions: checkNames('spec.regions', spec.regions),
    providers: checkNames('spec.providers', spec.providers),
    split: checkSplit(spec.split),
  }
}

/** A part of a host name, so that it may become one. */
export function checkName(name: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name
  throw invalidValue('name', name, '1 to 63 of a-z, 0-9 and "-", with no "-" at either end')
}

/** One line for people. */
export function checkText(field: string, value: string, maxLength: number): string {
  const text = oneLine(value, maxLength)
  if (text === null) throw invalidValue(field, value, `one line of 1 to ${maxLength} characters`)
  return text
}

export function checkInteger(field: string, value: number, min: number, max: number): void {
  if (isWholeWithin(value, min, max)) return
  throw invalidValue(field, value, `a whole number from ${min} to ${max}`)
}

function checkTarget(target: DeploymentTarget): DeploymentTarget {
  const { ttftMs, tpotMs, tokensPerSecond, pricePerMillionTokens } = target
  const positive = (field: string, value: number | undefined) => {
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
      throw invalidValue(`spec.target.${field}`, value, 'more than 0')
    }
  }
  positive('ttftMs', ttftMs)
  positive('tpotMs', tpotMs)
  positive('tokensPerSecond', tokensPerSecond)
  if (pricePerMillionTokens !== undefined) {
    checkInteger('spec.target.pricePerMillionTokens', pricePerMillionTokens, 1, Number.MAX_SAFE_INTEGER)
  }
  return {
    ...(ttftMs !== undefined && { ttftMs }),
    ...(tpotMs !== undefined && { tpotMs }),
    ...(tokensPerSecond !== undefined && { tokensPerSecond }),
    ...(pricePerMillionTokens !== undefined && { pricePerMillionTokens }),
  }
}

function checkNames(field: string, names: readonly string[] | null): readonly string[] | null {
  if (names === null) return null
  if (names.length === 0 || names.length > 100) {
    throw invalidValue(`${field}.length`, names.length, 'from 1 to 100; null allows every one')
  }
  return [...new Set(names.map((name, index) => checkText(`${field}[${index}]`, name, 100)))].sort()
}

const sameNames = (a: readonly string[] | null, b: readonly string[] | null): boolean =>
  JSON.stringify(a) === JSON.stringify(b)
