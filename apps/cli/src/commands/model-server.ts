import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { CommandError, UsageError } from '../cli-error.ts'
import { parseServerUrl, ServerClient } from '../http/server-client.ts'
import type { Output } from '../output.ts'
import { homeFolder } from '../package-root.ts'
import { LocalRing } from '../ring/local-ring.ts'
import { defaultServing } from '../ring/serving-settings.ts'
import { evenProfiles } from '../ring/worker-profiles.ts'
import { planLocalRing } from './local-plan.ts'
import { formatProgress } from './serve-report.ts'

export interface ServerChoice {
  readonly url: string
  /** A name the server knows, or the path of a model to serve for this command alone; `null` takes the server's. */
  readonly model: string | null
  readonly apiKey: string | null
}

/** A server to ask, and the model to ask for. */
export interface ModelServer {
  readonly client: ServerClient
  readonly model: string
  /** Whether the model answers rather than continues; `null` if only the server knows. */
  readonly instruct: boolean | null
  close(): Promise<void>
}

const TEMPORARY_SESSIONS = 4

/**
 * Finds a running server, or starts a worker for a model given by its path.
 *
 * @throws ServerUnreachableError, ServerError, UsageError; whatever keeps the model from being served
 */
export async function openModelServer(
  choice: ServerChoice,
  output: Output,
  signal: AbortSignal,
): Promise<ModelServer> {
  if (choice.model !== null && existsSync(choice.model)) return serve(choice.model, output, signal)
  const client = new ServerClient(parseServerUrl(choice.url), choice.apiKey)
  try {
    const model = chooseModel(choice, await client.models())
    return { client, model, instruct: null, close: () => client.close() }
  } catch (error) {
    await client.close()
    throw error
  }
}

function chooseModel({ url, model }: ServerChoice, known: readonly string[]): string {
  const chosen = model ?? known[0]
  if (chosen === undefined)
    throw new CommandError(`${url} serves no model.`, 'Wait until it is ready, or use another.')
  if (known.includes(chosen)) return chosen
  throw new UsageError(
    `${url} serves no model "${chosen}", and no file or folder has that path.`,
    `Served there: ${known.join(', ')}.`,
  )
}

async function serve(path: string, output: Output, signal: AbortSignal): Promise<ModelServer> {
  const { plan, instruct } = await planLocalRing({
    modelPath: path,
    name: null,
    profiles: evenProfiles,
    planned: null,
    weightType: 'native',
    kvType: 'auto',
    contextLength: null,
    kvBytes: null,
    threads: 1,
    device: null,
    maxSessions: TEMPORARY_SESSIONS,
    maxQueued: TEMPORARY_SESSIONS,
    serving: defaultServing,
  })
  const progress = output.progress()
  const phases = plan.assignments.map(() => ({ phase: 'starting' as const }))
  progress.show(formatProgress(plan, phases))
  let serving = false
  const apiKey = randomBytes(24).toString('base64url')
  try {
    const ring = await LocalRing.start(
      { plans: [plan], host: '127.0.0.1', port: 0, apiKey, home: homeFolder() },
      {
        onPhase: (stage, phase) => {
          if (serving) return
          const shown = plan.assignments.map((_, index) => (index === stage ? phase : phases[index]!))
          progress.show(formatProgress(plan, shown))
        },
        onGatewayRestart: () => undefined,
      },
      signal,
    )
    serving = true
    const client = new ServerClient(new URL(ring.url), apiKey)
    return {
      client,
      model: plan.assignments[0]!.model.id,
      instruct,
      close: async () => {
        await client.close()
        await ring.stop()
      },
    }
  } finally {
    progress.end()
  }
}
