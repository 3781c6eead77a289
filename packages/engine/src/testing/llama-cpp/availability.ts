import { existsSync } from 'node:fs'
import { DomainError, describeError } from '@deos/domain'
import { locateLibraries } from '../../ggml/library.ts'

/** Where libllama lies, or why there is none. */
export type LlamaCppAvailability =
  | { readonly available: true; readonly path: string }
  | { readonly available: false; readonly reason: string }

/** Looks on disk; loads nothing. Tests skip with `reason` where it is not available. */
export function llamaCppAvailability(): LlamaCppAvailability {
  try {
    const { llama, packageName } = locateLibraries()
    if (existsSync(llama)) return { available: true, path: llama }
    return { available: false, reason: `${packageName} holds no ${llama}.` }
  } catch (error) {
    if (error instanceof DomainError) return { available: false, reason: describeError(error) }
    throw error
  }
}
