import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { describeModel, openModel } from '@deos/engine/weights'
import { connect } from '@deos/sdk'
import { loadWanProfile, WanError } from '@deos/wan'
import { UsageError } from '../cli-error.ts'
import { type Account, readAccount, writeAccount } from '../control/account.ts'
import { deployOnce } from '../fleet/first-deployment.ts'
import { type FleetAddresses, LocalFleet } from '../fleet/local-fleet.ts'
import { planMachines } from '../fleet/machine-plan.ts'
import type { Interrupts } from '../interrupts.ts'
import type { Output } from '../output.ts'
import { homeFolder } from '../package-root.ts'
import { evenProfiles, mixedProfiles, takeProfiles } from '../ring/worker-profiles.ts'
import { formatMilliseconds } from '../text/quantities.ts'
import { invocation } from './invocation.ts'
import { checkModelId, modelIdOf } from './model-path.ts'

export interface UpOptions {
  readonly model: string
  readonly name: string | null
  readonly machines: number
  readonly even: boolean
  readonly host: string
  readonly controlPort: number
  readonly gatewayPort: number
  readonly contextTokens: number | null
  readonly sessions: number
  readonly precision: string
  readonly threads: number
  /** Forget everything at the end. */
  readonly ephemeral: boolean
  readonly databaseUrl: string | null
  /** Network profile between gateway and machines: a name or a file; null is none. */
  readonly wan: string | null
}

/** A folder for the fleet, and what to do with it at the end. */
interface Home {
  readonly folder: string
  remove(): void
}

function openHome(ephemeral: boolean): Home {
  if (!ephemeral) return { folder: homeFolder(), remove: () => undefined }
  const folder = mkdtempSync(join(tmpdir(), 'deos-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** @throws UsageError if there is no such network profile */
async function checkNetwork(profile: string): Promise<void> {
  try {
    await loadWanProfile(profile)
  } catch (error) {
    if (!(error instanceof WanError)) throw error
    throw new UsageError(`--wan: ${error.message}`, error.hint, { cause: error })
  }
}

/** The key of an earlier start, so that what was given to other programs keeps working. */
function keyOf(home: Home): string {
  const known = readAccount(home.folder)
  return known?.key.startsWith('deos_k_') ? known.key : `deos_k_${randomBytes(32).toString('base64url')}`
}

/**
 * Runs a whole system on this computer until it is interrupted: control plane with console, gateway, machines, and a
 * model that they serve together.
 *
 * @throws whatever keeps it from serving; nothing is left running then
 */
export async function up(
  options: UpOptions,
  output: Output,
  { signal, happened }: Interrupts,
): Promise<void> {
  const began = performance.now()
  const modelPath = resolve(options.model)
  const modelName = checkModelId(options.name ?? modelIdOf(modelPath))
  const description = describeModel(await openModel(modelPath, { vocabulary: false }))
  const profiles = takeProfiles(options.even ? evenProfiles : mixedProfiles, options.machines)
  const plan = planMachines(description, profiles, options)
  if (options.wan !== null) await checkNetwork(options.wan)
  const home = openHome(options.ephemeral)
  const key = keyOf(home)
  const progress = output.progress()
  const fleet = new LocalFleet(
    {
      ...options,
      key,
      home: home.folder,
      dataFolder: options.ephemeral ? null : join(home.folder, 'data'),
      modelFolders: [dirname(modelPath)],
    },
    {
      onRestart: (title, reason, delayMs) => {
        output.event({ event: 'restart', title, reason, delayMs })
        progress.log(`${title} died (${reason}); it is started again in ${formatMilliseconds(delayMs)}.`)
      },
    },
  )
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  aborted.catch(() => undefined)
  try {
    const begin = async () => {
      progress.show('Starting control plane and gateway')
      const addresses = await fleet.start()
      const { controlUrl, gatewayUrl } = addresses
      const account: Account = { url: controlUrl, key, gatewayUrl }
      writeAccount(account, home.folder)
      const client = connect({ url: controlUrl, token: key })
      progress.show(`Starting ${plan.machines.length} machines`)
      const token = await client.joinTokens.create({ body: { name: 'deos up', validHours: 1 }, signal })
      await fleet.addMachines(plan.machines, controlUrl, token.secret)
      await client.joinTokens.revoke({ params: { joinToken: token.joinToken.id } })
      progress.end()
      const first = { modelName, modelPath, precision: options.precision, plan }
      const deployment = await deployOnce(client, first, output, signal)
      return { addresses, deployment }
    }
    const { addresses, deployment } = await Promise.race([begin(), fleet.lost, aborted])
    progress.end()
    const startedMs = performance.now() - began
    output.result(
      {
        event: 'ready',
        ...addresses,
        model: deployment.servedAs,
        deployment: deployment.id,
        startedMs: Math.round(startedMs),
        pids: fleet.pids,
        account: join(home.folder, 'account.json'),
        logs: fleet.runFolder,
      },
      () => readyText(addresses, deployment.servedAs, startedMs, home.folder, fleet.runFolder),
    )
    await Promise.race([happened, fleet.lost])
    output.event({ event: 'stopping' })
    output.note('Finishing accepted requests; Ctrl-C again stops at once.')
    await fleet.stop()
    output.event({ event: 'stopped' })
    output.note('Stopped.')
  } catch (error) {
    progress.end()
    await fleet.stop(0)
    throw error
  } finally {
    home.remove()
  }
}

function readyText(
  { controlUrl, gatewayUrl, setupUrl }: FleetAddresses,
  model: string,
  startedMs: number,
  home: string,
  runFolder: string,
): string {
  const command = invocation()
  const body = JSON.stringify({ model, prompt: 'Ownership in Rust means that', max_tokens: 48 })
  return [
    `${model} is ready after ${formatMilliseconds(startedMs)}.`,
    '',
    setupUrl === null
      ? `Console   ${controlUrl}`
      : `Console   ${setupUrl}\n          This link makes the first owner; it works once.`,
    `Models    ${gatewayUrl}/v1`,
    '',
    'Try it from another terminal:',
    '',
    `${command} run "Ownership in Rust means that"`,
    `${command} node ls`,
    `${command} deployment show ${model}`,
    '',
    `KEY=$(${command} key create first-key)`,
    `curl ${gatewayUrl}/v1/completions -H "authorization: Bearer $KEY" \\\n  -H 'content-type: application/json' -d '${body}'`,
    '',
    `Everything is kept in ${home}. Logs: ${runFolder}. Ctrl-C stops.`,
  ].join('\n')
}
