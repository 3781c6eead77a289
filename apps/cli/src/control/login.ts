import { createInterface } from 'node:readline/promises'
import { text as readText } from 'node:stream/consumers'
import { connect } from '@deos/sdk'
import { UsageError } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { forgetAccount, writeAccount } from './account.ts'
import { checkedUrl } from './connection.ts'

/**
 * Remembers a control plane and a key for it, once the key has worked.
 *
 * @param key - from DEOS_API_KEY; without it the terminal is asked, or standard input read
 */
export async function login(address: string, key: string | undefined, output: Output): Promise<void> {
  const url = checkedUrl(address)
  const token = key ?? (await readKey())
  if (token === '') throw new UsageError('There is no key.', 'Create one in the console, under API keys.')
  const client = connect({ url, token })
  const [status, { gatewayUrl }] = await Promise.all([client.status.show(), client.session.version()])
  writeAccount({ url, key: token, gatewayUrl: gatewayUrl?.replace(/\/v1\/?$/, '') ?? null })
  output.result({ url, health: status.health.state }, () => `Signed in to ${url}: ${status.health.state}.`)
}

async function readKey(): Promise<string> {
  if (!process.stdin.isTTY) return (await readText(process.stdin)).trim()
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await prompt.question('API key (with scope "manage" or "read"): ')).trim()
  } finally {
    prompt.close()
  }
}

export function logout(output: Output): void {
  forgetAccount()
  output.result({ signedOut: true }, () => 'Signed out.')
}
