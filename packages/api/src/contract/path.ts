import { ValidationError } from '../validation.ts'

/** Names in the braces of a path: those of `/a/{b}/c/{d}` are `b` and `d`. */
export type PathParameter<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathParameter<Rest>
  : never

const parameterPattern = /\{([a-z][A-Za-z]*)\}/g

/** In the order in which they appear. */
export const parametersOf = (path: string): readonly string[] =>
  Array.from(path.matchAll(parameterPattern), (match) => match[1]!)

function encodeSegment(name: string, value: string): string {
  const refuse = (message: string): never => {
    throw new ValidationError([{ in: 'path', field: name, message }])
  }
  if (value === '') refuse('must not be empty')
  // Addresses are normalised on their way: these would name another resource.
  if (value === '.' || value === '..') refuse('must not be "." or ".."')
  if (/\p{Cs}/u.test(value)) refuse('must be well-formed text')
  return encodeURIComponent(value)
}

/**
 * A path with its parameters filled in and escaped, so that a value never becomes more than one segment.
 *
 * @throws ValidationError if a value is missing, empty or would change which resource is meant
 */
export function fillPath(path: string, values: Readonly<Record<string, string>>): string {
  return path.replace(parameterPattern, (_, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined
    return encodeSegment(name, value ?? '')
  })
}

function decodeSegment(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}

/** The parameters in `pathname` if it is an instance of `path`, decoded but not yet checked; otherwise null. */
export function matchPath(path: string, pathname: string): Readonly<Record<string, string>> | null {
  const wanted = path.split('/')
  const given = pathname.split('/')
  if (wanted.length !== given.length) return null
  const values: [string, string][] = []
  for (const [index, segment] of wanted.entries()) {
    const actual = given[index]!
    const name = parametersOf(segment)[0]
    if (name === undefined) {
      if (segment !== actual) return null
      continue
    }
    const value = decodeSegment(actual)
    if (value === null || value === '') return null
    values.push([name, value])
  }
  return Object.fromEntries(values)
}
