import { useNavigate } from '@tanstack/react-router'
import { Check, ChevronsUpDown, Plus } from 'lucide-react'
import { useState } from 'react'
import { Mark } from '../components/mark.tsx'
import { Menu, MenuItem, MenuLabel, MenuSeparator } from '../components/menu.tsx'
import { useSession } from '../data/session.tsx'
import { CreateOrganisation } from './create-organisation.tsx'

/** Which organisation is looked at, and the way to the others. */
export function OrganisationMenu() {
  const { session, organisation, role, chooseOrganisation } = useSession()
  const [creating, setCreating] = useState(false)
  const navigate = useNavigate()
  const choose = (id: string) => {
    chooseOrganisation(id)
    // What is looked at now is not there.
    void navigate({ to: '/' })
  }
  return (
    <>
      <Menu
        align="start"
        trigger={
          <button
            type="button"
            className="flex w-full items-center gap-2.5 rounded-md px-2 py-1.5 text-left hover:bg-raised"
            aria-label={`Organisation ${organisation?.name}`}
          >
            <Mark className="size-6 shrink-0 text-accent" />
            <span className="min-w-0 flex-1">
              <span className="block truncate text-sm font-semibold">{organisation?.name}</span>
              <span className="block text-xs text-ink-3">{role}</span>
            </span>
            <ChevronsUpDown className="size-4 shrink-0 text-ink-3" aria-hidden="true" />
          </button>
        }
      >
        <MenuLabel>Organisations</MenuLabel>
        {session?.memberships.map(({ organisation: each, role: held }) => (
          <MenuItem key={each.id} onSelect={() => choose(each.id)}>
            <span className="min-w-0 flex-1 truncate">{each.name}</span>
            <span className="text-xs text-ink-3">{held}</span>
            {each.id === organisation?.id && <Check aria-label="chosen" />}
          </MenuItem>
        ))}
        <MenuSeparator />
        <MenuItem onSelect={() => setCreating(true)}>
          <Plus aria-hidden="true" />
          Found an organisation
        </MenuItem>
      </Menu>
      <CreateOrganisation open={creating} onOpenChange={setCreating} />
    </>
  )
}
