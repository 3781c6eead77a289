import { ApiError } from '@deos/sdk'
import { useState } from 'react'

/** Problems by field, as the API names them: `spec.replicas.min`. */
export type FieldErrors = Readonly<Record<string, string>>

interface Checks {
  safeParse(value: unknown):
    | { readonly success: true }
    | {
        readonly success: false
        readonly error: {
          readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]
        }
      }
}

/** What a schema of the API says of a body before it is sent. */
export function errorsOf(schema: Checks, body: unknown): FieldErrors {
  const parsed = schema.safeParse(body)
  if (parsed.success) return {}
  return Object.fromEntries(
    parsed.error.issues
      .map(({ path, message }) => [path.map(String).join('.'), sentence(message)] as const)
      .reverse(),
  )
}

/** What the server said of fields; empty if the problem is another one. */
export function serverErrorsOf(error: unknown): FieldErrors {
  if (!(error instanceof ApiError) || error.problem === null) return {}
  return Object.fromEntries(error.problem.errors.map(({ field, message }) => [field, sentence(message)]))
}

const sentence = (message: string): string =>
  `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.$/, '')}.`

/** Values of a form and what is wrong with them. */
export function useForm<V extends object>(initial: V) {
  const [values, setValues] = useState(initial)
  const [errors, setErrors] = useState<FieldErrors>({})
  const set = <K extends keyof V>(name: K, value: V[K]) => {
    setValues((current) => ({ ...current, [name]: value }))
    setErrors((current) => (String(name) in current ? without(current, String(name)) : current))
  }
  const merge = (changes: Partial<V>) => setValues((current) => ({ ...current, ...changes }))
  return { values, set, merge, setValues, errors, setErrors }
}

const without = (errors: FieldErrors, name: string): FieldErrors =>
  Object.fromEntries(Object.entries(errors).filter(([field]) => field !== name))
