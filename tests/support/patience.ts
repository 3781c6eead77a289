import { vi } from 'vitest'

/**
 * What a test waits for comes when it comes: how long to wait says how soon a failure is reported, not how quick a machine
 * has to be. The second that `vi.waitFor` gives by itself is too short for a busy one.
 */
const patienceMs = 20_000
const { waitFor } = vi
const patient: typeof waitFor = (callback, options) =>
  waitFor(callback, typeof options === 'number' ? options : { timeout: patienceMs, ...options })

// This file runs before each file of tests, all with the same `vi`.
if (!('isPatient' in waitFor)) vi.waitFor = Object.assign(patient, { isPatient: true })
