import { resolve } from 'node:path'
import { parseBytes } from '@deos/domain'
import { InvalidArgumentError } from 'commander'

/** Whole numbers of at least `least`. */
export const wholeNumber =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
    throw new InvalidArgumentError(`It must be a whole number ${range}.`)
  }

export const number =
  (least: number, most: number) =>
  (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`)
  }

export function size(text: string): number {
  try {
    return parseBytes(text)
  } catch {
    throw new InvalidArgumentError('It must be a size such as 512M or 1.5G.')
  }
}

/** One of `names`, in any case. */
export const oneOf =
  <const T extends string>(names: readonly T[]) =>
  (text: string): T => {
    const found = names.find((name) => name.toLowerCase() === text.toLowerCase())
    if (found !== undefined) return found
    throw new InvalidArgumentError(`It must be one of ${names.join(', ')}.`)
  }

/** A whole number, or the word. */
export const wholeNumberOr =
  <const T extends string>(word: T, least: number) =>
  (text: string): number | T =>
    text.toLowerCase() === word ? word : wholeNumber(least)(text)

/** Collects `name=path` of a flag given several times. */
export function namedPath(
  text: string,
  before: readonly { readonly name: string; readonly path: string }[],
): readonly { readonly name: string; readonly path: string }[] {
  const at = text.indexOf('=')
  const [name, path] = [text.slice(0, at), text.slice(at + 1)]
  if (at < 1 || path === '') throw new InvalidArgumentError('It must be <name>=<path>.')
  if (before.some((known) => known.name === name)) throw new InvalidArgumentError(`${name} is given twice.`)
  return [...before, { name, path: resolve(path) }]
}

/** Collects a flag given several times. */
export const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text]

export interface MachineLoss {
  readonly machine: string
  readonly atMs: number
  /** `null`: for good. */
  readonly forMs: number | null
}

/** For options that may be given again: `machine@s`, or `machine@s+s`. */
export function machineLoss(text: string, before: readonly MachineLoss[]): readonly MachineLoss[] {
  const [, machine, at, lasts] = /^(.+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?$/.exec(text) ?? []
  if (machine === undefined || Number(lasts ?? 1) === 0) {
    throw new InvalidArgumentError('Give MACHINE@SECONDS, or MACHINE@SECONDS+SECONDS for how long.')
  }
  const forMs = lasts === undefined ? null : 1000 * Number(lasts)
  return [...before, { machine, atMs: 1000 * Number(at), forMs }]
}
