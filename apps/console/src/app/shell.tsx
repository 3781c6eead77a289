import { Outlet, useLocation } from '@tanstack/react-router'
import { Lock, Menu as MenuIcon, Users } from 'lucide-react'
import { Dialog } from 'radix-ui'
import { useEffect, useState } from 'react'
import { Button } from '../components/button.tsx'
import { Empty } from '../components/empty.tsx'
import { Mark } from '../components/mark.tsx'
import { Problem } from '../components/problem.tsx'
import { Redirect } from '../components/redirect.tsx'
import { SkeletonPage } from '../components/skeleton.tsx'
import { LiveProvider } from '../data/live.tsx'
import { useSession } from '../data/session.tsx'
import { CommandPalette, PaletteButton } from './command-palette.tsx'
import { CreateOrganisation } from './create-organisation.tsx'
import { LiveState } from './live-state.tsx'
import { placeAt } from './navigation.ts'
import { OrganisationMenu } from './organisation-menu.tsx'
import { Sidebar } from './sidebar.tsx'
import { ThemeMenu } from './theme-menu.tsx'
import { UserMenu } from './user-menu.tsx'

/** The frame around all pages of those who are signed in; leads the others to where they sign in. */
export function Shell() {
  const { session, error, organisation, retry } = useSession()
  const { href } = useLocation()
  if (session === null) {
    return (
      <main className="mx-auto max-w-7xl p-6">
        {error ? <Problem error={error} retry={retry} /> : <SkeletonPage />}
      </main>
    )
  }
  if (session.setupNeeded) return <Redirect to="/setup" />
  if (session.user === null) return <Redirect to={`/sign-in?to=${encodeURIComponent(href)}`} />
  if (organisation === null) return <NoOrganisation />
  return (
    // Another organisation is another page: nothing of the one before stays on it.
    <LiveProvider key={organisation.id}>
      <Frame />
    </LiveProvider>
  )
}

function Frame() {
  const [drawer, setDrawer] = useState(false)
  const [palette, setPalette] = useState(false)
  const { pathname } = useLocation()
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever went somewhere is done with the drawer
  useEffect(() => setDrawer(false), [pathname])
  return (
    <div className="min-h-dvh lg:pl-60">
      <a
        href="#content"
        className="fixed top-2 left-2 z-60 -translate-y-16 rounded-md bg-ink px-3 py-2 text-sm text-canvas focus:translate-y-0"
      >
        Skip to content
      </a>
      <aside className="fixed inset-y-0 left-0 hidden w-60 flex-col border-r border-line bg-surface lg:flex">
        <div className="border-b border-line p-2">
          <OrganisationMenu />
        </div>
        <Sidebar />
      </aside>
      <header className="sticky top-0 z-30 flex h-14 items-center gap-2 border-b border-line bg-surface px-3 sm:px-5">
        <Button
          look="quiet"
          size="icon"
          className="lg:hidden"
          aria-label="Open navigation"
          onClick={() => setDrawer(true)}
        >
          <MenuIcon aria-hidden="true" />
        </Button>
        <Mark className="size-6 text-accent lg:hidden" />
        <PaletteButton onClick={() => setPalette(true)} />
        <div className="flex-1" />
        <LiveState />
        <ThemeMenu />
        <UserMenu />
      </header>
      <main id="content" tabIndex={-1} className="px-4 py-5 outline-none sm:px-6 sm:py-6">
        <Allowed />
      </main>
      <Drawer open={drawer} onOpenChange={setDrawer} />
      <CommandPalette open={palette} onOpenChange={setPalette} />
    </div>
  )
}

/** The page, if the member's role may see it. */
function Allowed() {
  const { may, role } = useSession()
  const { pathname } = useLocation()
  const place = placeAt(pathname)
  if (place === null || may(place.permission)) return <Outlet />
  return (
    <Empty icon={Lock} title={`${place.label} is not open to you`}>
      Your role here is {role}. An owner or admin of the organisation can give you another one.
    </Empty>
  )
}

function Drawer({
  open,
  onOpenChange,
}: {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 animate-appear bg-black/45 lg:hidden" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed inset-y-0 left-0 z-50 flex w-72 max-w-[85vw] animate-slide-in flex-col border-r border-line bg-surface lg:hidden"
        >
          <Dialog.Title className="sr-only">Navigation</Dialog.Title>
          <div className="border-b border-line p-2">
            <OrganisationMenu />
          </div>
          <Sidebar />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

function NoOrganisation() {
  const [open, setOpen] = useState(false)
  return (
    <main>
      <Empty
        icon={Users}
        title="You are a member of no organisation"
        action={
          <div className="flex gap-2">
            <Button look="primary" onClick={() => setOpen(true)}>
              Found an organisation
            </Button>
            <UserMenu />
          </div>
        }
      >
        Ask somebody for an invitation, or found an organisation of your own.
      </Empty>
      <CreateOrganisation open={open} onOpenChange={setOpen} />
    </main>
  )
}
