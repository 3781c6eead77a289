import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useRefresh } from '../data/query.ts'
import { useClient, useMay } from '../data/session.tsx'
import type { Machine } from '../data/types.ts'
import { plural } from '../format/numbers.ts'
import { Confirm, type Confirmed } from './confirm.tsx'
import { ActionMenu, MenuItem, MenuSeparator } from './menu.tsx'
import { useToast } from './toast.tsx'

type Client = ReturnType<typeof useClient>

interface Action {
  readonly id: string
  readonly verb: string
  readonly about: (machine: Machine) => string
  readonly done: string
  readonly danger?: boolean
  readonly fits: (machine: Machine) => boolean
  readonly act: (client: Client, machine: Machine, confirmed: Confirmed) => Promise<unknown>
}

const isHeld = ({ cordon, drain }: Machine): boolean => cordon !== null || drain !== null
const isQuarantined = ({ quarantines }: Machine): boolean => quarantines.length > 0

const call = (machine: Machine, { reason }: Confirmed) => ({
  params: { machine: machine.id },
  body: reason === undefined ? {} : { reason },
})

/** What can be done to a machine in which condition. */
const actions: readonly Action[] = [
  {
    id: 'cordon',
    verb: 'Cordon',
    about: () => 'It gets no new stages. What runs there stays.',
    done: 'gets no new stages',
    fits: (machine) => !isHeld(machine),
    act: (client, machine, confirmed) => client.machines.cordon(call(machine, confirmed)),
  },
  {
    id: 'drain',
    verb: 'Drain',
    about: ({ stages }) =>
      `Its stages (${stages.length}) move elsewhere, sessions finish first; then it stays empty.`,
    done: 'is being emptied',
    fits: ({ drain }) => drain === null,
    act: (client, machine, confirmed) => client.machines.drain(call(machine, confirmed)),
  },
  {
    id: 'uncordon',
    verb: 'Uncordon',
    about: () => 'It takes stages again.',
    done: 'takes stages again',
    fits: isHeld,
    act: (client, machine, confirmed) => client.machines.uncordon(call(machine, confirmed)),
  },
  {
    id: 'quarantine',
    verb: 'Quarantine',
    about: ({ stages }) =>
      `For machines that are not to be trusted: its stages (${stages.length}) are taken off at once, without waiting for it.`,
    done: 'is quarantined',
    danger: true,
    fits: ({ quarantines }) => !quarantines.some(({ cause }) => cause === 'operator'),
    act: (client, machine, confirmed) => client.machines.quarantine(call(machine, confirmed)),
  },
  {
    id: 'release',
    verb: 'Release',
    about: ({ quarantines }) => `Its quarantines end: ${quarantines.map(({ reason }) => reason).join(' ')}`,
    done: 'is released',
    fits: isQuarantined,
    act: (client, machine, confirmed) => client.machines.release(call(machine, confirmed)),
  },
]

interface MachineActionsProps {
  readonly machine: Machine
  /** On its own page, which goes when the machine goes. */
  readonly isPage?: boolean
}

export function MachineActions({ machine, isPage = false }: MachineActionsProps) {
  const may = useMay('machines:write')
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const navigate = useNavigate()
  const [chosen, choose] = useState<Action | null>(null)
  const [removing, setRemoving] = useState(false)
  if (!may) return null

  const act = async (action: Action, confirmed: Confirmed) => {
    await action.act(client, machine, confirmed)
    toast({ text: `${machine.name} ${action.done}.` })
    await refresh('machines')
  }
  const remove = async ({ reason, option }: Confirmed) => {
    await client.machines.remove({
      params: { machine: machine.id },
      query: { force: option, ...(reason !== undefined && { reason }) },
    })
    toast({ text: `${machine.name} is removed.` })
    if (isPage) await navigate({ to: '/machines' })
    await refresh('machines')
  }
  return (
    <>
      <ActionMenu name={machine.name} isPage={isPage}>
        {actions
          .filter(({ fits }) => fits(machine))
          .map((action) => (
            <MenuItem key={action.id} danger={action.danger ?? false} onSelect={() => choose(action)}>
              {action.verb}…
            </MenuItem>
          ))}
        <MenuSeparator />
        <MenuItem danger onSelect={() => setRemoving(true)}>
          Remove…
        </MenuItem>
      </ActionMenu>
      {chosen !== null && (
        <Confirm
          open
          onOpenChange={(open) => !open && choose(null)}
          title={`${chosen.verb} ${machine.name}`}
          verb={chosen.verb}
          danger={chosen.danger ?? false}
          asksReason
          act={(confirmed) => act(chosen, confirmed)}
        >
          {chosen.about(machine)}
        </Confirm>
      )}
      <Confirm
        open={removing}
        onOpenChange={setRemoving}
        title={`Remove ${machine.name}`}
        verb="Remove"
        danger
        asksReason
        {...(machine.stages.length > 0 && {
          option: {
            label: `Even though it holds ${plural(machine.stages.length, 'stage')}`,
            hint: 'They are placed elsewhere at once.',
          },
        })}
        act={remove}
      >
        It leaves the fleet for good. Its key may not join again without a token.
      </Confirm>
    </>
  )
}
