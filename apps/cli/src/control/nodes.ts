import type * as api from '@deos/sdk'
import type { Output } from '../output.ts'
import { formatFields, formatTable } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { all, findMachine } from './find.ts'
import { shownAge, shownBytes, shownLine, shownMoney } from './shown.ts'

type Machine = api.DeepReadonly<api.Machine>

export async function listNodes(flags: ControlFlags, output: Output): Promise<void> {
  const machines = await all(openControl(flags).machines.list, {})
  output.result({ machines }, () =>
    machines.length === 0
      ? 'No machine has joined. Create a line to paste there with "deos join-token create".'
      : formatTable(
          [
            { title: 'name' },
            { title: 'state' },
            { title: 'region' },
            { title: 'devices' },
            { title: 'stages', align: 'right' },
            { title: 'heard' },
            { title: 'why' },
          ],
          machines.map((machine) => [
            machine.name,
            machine.state,
            `${machine.location.region}/${machine.location.provider}`,
            devicesOf(machine),
            String(machine.stages.length),
            shownAge(machine.lease?.lastHeartbeatAt ?? null, new Date()),
            shownLine(machine.reason.message),
          ]),
        ),
  )
}

const devicesOf = ({ inventory }: Pick<Machine, 'inventory'>): string =>
  (inventory?.devices ?? []).map(({ name, memoryBytes }) => `${name} ${shownBytes(memoryBytes)}`).join(', ')

export async function showNode(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const machine = await findMachine(openControl(flags), wanted)
  const { inventory, benchmark } = machine
  output.result(machine, () =>
    formatFields([
      ['name', machine.name],
      ['id', machine.id],
      ['state', machine.state],
      ['why', shownLine(machine.reason.message)],
      ['location', `${machine.location.region}, ${machine.location.provider}`],
      ['version', machine.version],
      ['price', machine.pricePerHour === null ? 'none' : `${shownMoney(machine.pricePerHour)} an hour`],
      [
        'processor',
        inventory === null ? '' : `${shownLine(inventory.cpuModel)}, ${inventory.cpuCores} cores`,
      ],
      ['memory', shownBytes(inventory?.memoryBytes ?? null)],
      ...(inventory?.devices ?? []).map(({ name, description, memoryBytes }): [string, string] => [
        name,
        `${shownLine(description)}, ${shownBytes(memoryBytes)}${speedOf(benchmark, name)}`,
      ]),
      ...machine.stages.map(({ stageId, deploymentId }): [string, string] => [
        'stage',
        `${stageId} of ${deploymentId}`,
      ]),
    ]),
  )
}

function speedOf(benchmark: Machine['benchmark'], name: string): string {
  const measured = benchmark?.devices.find(({ device }) => device === name)
  return measured ? `, reads weights at ${shownBytes(Math.round(measured.weightBytesPerSecond))}/s` : ''
}

type NodeAction = 'drain' | 'cordon' | 'uncordon' | 'quarantine' | 'release'

const done: Readonly<Record<NodeAction, string>> = {
  drain: 'is being drained: what it holds moves elsewhere',
  cordon: 'gets no new stages',
  uncordon: 'may take stages again',
  quarantine: 'is quarantined',
  release: 'is no longer quarantined',
}

export async function changeNode(
  action: NodeAction,
  wanted: string,
  flags: ControlFlags & { readonly reason?: string },
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id } = await findMachine(client, wanted)
  const body = flags.reason === undefined ? {} : { reason: flags.reason }
  const machine = await client.machines[action]({ params: { machine: id }, body })
  output.result(machine, () => `${machine.name} ${done[action]}.`)
}

export async function removeNode(
  wanted: string,
  flags: ControlFlags & { readonly force?: true; readonly reason?: string },
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id, name } = await findMachine(client, wanted)
  await client.machines.remove({
    params: { machine: id },
    query: { force: flags.force === true, reason: flags.reason },
  })
  output.result({ removed: id }, () => `${name} is removed.`)
}
