import type { Problem } from './problem.ts'

/** All of a problem in words, the field to blame included, for errors that have no place for it beside. */
export function problemText({ message, hint, param }: Problem): string {
  const named = param === null || message.includes(param) ? message : `${param}: ${message}`
  return hint === '' ? named : `${named} ${hint}`
}
