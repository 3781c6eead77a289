import { type ApiClient, connect } from '@deos/sdk'
import { UsageError } from '../cli-error.ts'
import { readAccount } from './account.ts'

/** Flags of every command that asks the control plane. */
export interface ControlFlags {
  readonly json?: true
  readonly control?: string
  readonly apiKey?: string
}

/**
 * A client for the control plane that flags, environment or the last `deos login` or `deos up` name, in this order.
 *
 * @throws UsageError if none of them does
 */
export function openControl({ control, apiKey }: ControlFlags): ApiClient {
  const account = readAccount()
  const url = control ?? account?.url
  if (url === undefined) {
    throw new UsageError(
      'It is not known where the control plane is.',
      'Start one with "deos up", sign in with "deos login <url>", or set DEOS_URL and DEOS_API_KEY.',
    )
  }
  // A key belongs to the place it was made for.
  const token = apiKey ?? (url === account?.url ? account.key : undefined)
  if (token === undefined) {
    throw new UsageError(`There is no key for ${url}.`, 'Sign in with "deos login", or set DEOS_API_KEY.')
  }
  return connect({ url: checkedUrl(url), token })
}

/** @throws UsageError unless it is an address over HTTP */
export function checkedUrl(text: string): string {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '') return text.replace(/\/+$/, '')
  throw new UsageError(`"${text}" is not an address.`, 'Write it like http://127.0.0.1:7000.')
}
