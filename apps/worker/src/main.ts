import { describeError } from '@deos/domain'
import { createLogger, EXIT_FAILURE, runService } from '@deos/service'
import { proxyOption } from '@deos/transport'
import { AssignmentError, parseAssignment } from './assignment.ts'
import { Worker } from './worker.ts'

const SECRET_BYTES = 32
const DRAIN_LIMIT_MS = 10_000

function readSecret(text: string | undefined): Uint8Array {
  if (text === undefined || !/^[0-9a-f]+$/i.test(text) || text.length !== 2 * SECRET_BYTES) {
    throw new AssignmentError(
      `DEOS_RING_SECRET must hold ${SECRET_BYTES} bytes as ${2 * SECRET_BYTES} hexadecimal digits.`,
      'Create one with "openssl rand -hex 32" and give every process of the ring the same.',
    )
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

const logger = createLogger({ name: 'worker', level: 'info', format: 'auto' })
try {
  const assignment = parseAssignment(process.env.DEOS_ASSIGNMENT)
  const secret = readSecret(process.env.DEOS_RING_SECRET)
  const log = logger.child({ worker: assignment.worker, stage: assignment.stage })
  const worker = new Worker(assignment, secret, proxyOption(process.env.DEOS_PROXY), log, (message) => {
    log.fatal(message)
    process.exit(EXIT_FAILURE)
  })
  await runService(worker, { drainLimitMs: DRAIN_LIMIT_MS, endWithStdin: true }, log)
} catch (error) {
  logger.fatal(describeError(error))
  process.exitCode = EXIT_FAILURE
}
