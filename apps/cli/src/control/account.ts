import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError } from '../cli-error.ts'
import { homeFolder } from '../package-root.ts'

/** Where commands go and what they show there, kept from one command to the next. */
export interface Account {
  /** Of the control plane. */
  readonly url: string
  /** API key. */
  readonly key: string
  /** Of the gateway, where models answer; `null` if it was not known. */
  readonly gatewayUrl: string | null
}

const accountFile = (home: string): string => join(home, 'account.json')

/** `null` if nobody is signed in. @throws CommandError if the file is damaged */
export function readAccount(home = homeFolder()): Account | null {
  const path = accountFile(home)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const account = parseAccount(text)
  if (account !== null) return account
  throw new CommandError(`${path} is damaged.`, 'Remove it and sign in again with "deos login <url>".')
}

function parseAccount(text: string): Account | null {
  try {
    const { url, key, gatewayUrl } = JSON.parse(text) as Partial<Record<keyof Account, unknown>>
    if (typeof url !== 'string' || typeof key !== 'string') return null
    return { url, key, gatewayUrl: typeof gatewayUrl === 'string' ? gatewayUrl : null }
  } catch {
    return null
  }
}

/** Readable by its owner alone; there is never half a file. */
export function writeAccount(account: Account, home = homeFolder()): void {
  const path = accountFile(home)
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, `${JSON.stringify(account, null, 2)}\n`, { mode: 0o600 })
  renameSync(temporary, path)
}

export function forgetAccount(home = homeFolder()): void {
  rmSync(accountFile(home), { force: true })
}
