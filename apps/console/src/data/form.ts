import { ApiError } from '@deos/sdk'
import { useState } from 'react'

/** Problems by field, as the API names them: `spec.replicas.min`. */
export type FieldErrors = Readonly<Record<string, string>>

interface Checks<B = unknown> {
  safeParse(value: unknown):
    | { readonly success: true; readonly data: B }
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

interface Sending<B> {
  mutate(body: B, options: { onError: (error: unknown) => void }): void
}

/** Values of a form and what is wrong with them. */
export function useForm<V extends object>(initial: V) {
  const [values, setValues] = useState(initial)
  const [errors, setErrors] = useState<FieldErrors>({})
  const set = <K extends keyof V>(name: K, value: V[K], problem = String(name)) => {
    setValues((current) => ({ ...current, [name]: value }))
    setErrors((current) => (problem in current ? without(current, problem) : current))
  }
  const merge = (changes: Partial<V>) => setValues((current) => ({ ...current, ...changes }))
  /** What a control shows and changes; `problem` is the field by which the API speaks of it. */
  const field = <K extends keyof V>(name: K, problem = String(name)) => ({
    value: values[name],
    onValue: (value: V[K]) => set(name, value, problem),
    error: errors[problem],
  })
  /** Sends a body that its schema accepts. What schema, server or `more` have against it is shown at the fields. */
  const send = <B>(schema: Checks<B>, body: unknown, by: Sending<B>, more: FieldErrors = {}) => {
    const parsed = schema.safeParse(body)
    const wrong = { ...errorsOf(schema, body), ...more }
    setErrors(wrong)
    if (parsed.success && Object.keys(wrong).length === 0) {
      by.mutate(parsed.data, { onError: (error) => setErrors(serverErrorsOf(error)) })
    }
  }
  return { values, set, merge, setValues, field, send, errors, setErrors }
}

const without = (errors: FieldErrors, name: string): FieldErrors =>
  Object.fromEntries(Object.entries(errors).filter(([field]) => field !== name))
