import { useNavigate } from '@tanstack/react-router'
import { LogOut, UserRound } from 'lucide-react'
import { Button } from '../components/button.tsx'
import { Menu, MenuItem, MenuLabel, MenuSeparator } from '../components/menu.tsx'
import { openClient, useSession } from '../data/session.tsx'
import { useAction } from '../data/use-action.ts'

export function UserMenu() {
  const { session, renew } = useSession()
  const navigate = useNavigate()
  const signOut = useAction(() => openClient.session.signOut(), {
    onDone: () => void renew(null).then(() => navigate({ to: '/sign-in' })),
  })
  return (
    <Menu
      trigger={
        <Button look="quiet" size="icon" aria-label="Your account">
          <UserRound aria-hidden="true" />
        </Button>
      }
    >
      <MenuLabel>
        <span className="block font-medium text-ink">{session?.user?.name}</span>
        {session?.user?.email}
      </MenuLabel>
      <MenuSeparator />
      <MenuItem onSelect={() => void navigate({ to: '/account' })}>
        <UserRound aria-hidden="true" />
        Account
      </MenuItem>
      <MenuItem onSelect={() => signOut.mutate()}>
        <LogOut aria-hidden="true" />
        Sign out
      </MenuItem>
    </Menu>
  )
}
