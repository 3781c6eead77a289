import { useNavigate } from '@tanstack/react-router'
import { Boxes, KeyRound, type LucideIcon, Plus, Rocket, Search, Server, SunMoon } from 'lucide-react'
import { Dialog } from 'radix-ui'
import { useEffect, useId, useMemo, useRef, useState } from 'react'
import { classNames } from '../components/class-names.ts'
import { useDeployments, useMachines, useModels } from '../data/lists.ts'
import { useSession } from '../data/session.tsx'
import { setTheme, useColorScheme } from '../data/theme.ts'
import { places } from './navigation.ts'

interface Entry {
  readonly id: string
  readonly kind: string
  readonly label: string
  readonly icon: LucideIcon
  readonly go: () => void
}

const maxShown = 40

export function PaletteButton({ onClick }: { readonly onClick: () => void }) {
  return (
    <button
      type="button"
      onClick={onClick}
      className="flex h-8.5 min-w-0 items-center gap-2 rounded-md border border-line bg-canvas px-2.5 text-sm text-ink-3 hover:border-line-strong sm:w-72"
    >
      <Search className="size-4 shrink-0" aria-hidden="true" />
      <span className="flex-1 truncate text-left">Go to…</span>
      <kbd className="rounded border border-line px-1 font-sans text-[11px] max-sm:hidden">Ctrl K</kbd>
    </button>
  )
}

interface PaletteProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

/** Jumps to pages and things; opened with Ctrl-K or Cmd-K from everywhere. */
export function CommandPalette({ open, onOpenChange }: PaletteProps) {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      onOpenChange(!open)
    }
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [open, onOpenChange])
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 animate-appear bg-black/45" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed top-[12dvh] left-1/2 z-50 flex max-h-[70dvh] w-[min(36rem,calc(100vw-2rem))] -translate-x-1/2 animate-appear flex-col overflow-hidden rounded-lg border border-line bg-surface shadow-xl"
        >
          <Dialog.Title className="sr-only">Go to</Dialog.Title>
          <Finder close={() => onOpenChange(false)} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

function useEntries(): readonly Entry[] {
  const { may } = useSession()
  const navigate = useNavigate()
  const scheme = useColorScheme()
  const machines = useMachines().items
  const deployments = useDeployments().items
  const models = useModels().items
  return useMemo(() => {
    const pages = places
      .filter(({ permission }) => may(permission))
      .map(({ to, label, icon }) => ({ id: to, kind: 'Page', label, icon, go: () => void navigate({ to }) }))
    const actions: (Entry | false)[] = [
      may('deployments:write') && {
        id: 'new-deployment',
        kind: 'Action',
        label: 'New deployment',
        icon: Plus,
        go: () => void navigate({ to: '/deployments/new' }),
      },
      may('join-tokens:write') && {
        id: 'add-machine',
        kind: 'Action',
        label: 'Add a machine',
        icon: Plus,
        go: () => void navigate({ to: '/machines', search: { add: true } }),
      },
      may('models:write') && {
        id: 'add-model',
        kind: 'Action',
        label: 'Add a model',
        icon: Plus,
        go: () => void navigate({ to: '/models', search: { add: true } }),
      },
      may('keys:write') && {
        id: 'create-key',
        kind: 'Action',
        label: 'Create an API key',
        icon: KeyRound,
        go: () => void navigate({ to: '/keys', search: { create: true } }),
      },
      {
        id: 'scheme',
        kind: 'Action',
        label: scheme === 'dark' ? 'Light colours' : 'Dark colours',
        icon: SunMoon,
        go: () => setTheme(scheme === 'dark' ? 'light' : 'dark'),
      },
    ]
    const things: Entry[] = [
      ...deployments.map(({ id, name }) => ({
        id,
        kind: 'Deployment',
        label: name,
        icon: Rocket,
        go: () => void navigate({ to: '/deployments/$deployment', params: { deployment: id } }),
      })),
      ...machines.map(({ id, name }) => ({
        id,
        kind: 'Machine',
        label: name,
        icon: Server,
        go: () => void navigate({ to: '/machines/$machine', params: { machine: id } }),
      })),
      ...models.map(({ id, name }) => ({
        id,
        kind: 'Model',
        label: name,
        icon: Boxes,
        go: () => void navigate({ to: '/models/$model', params: { model: id } }),
      })),
    ]
    return [...pages, ...actions.filter((entry) => entry !== false), ...things]
  }, [may, navigate, scheme, machines, deployments, models])
}

function Finder({ close }: { readonly close: () => void }) {
  const [text, setText] = useState('')
  const [position, setPosition] = useState(0)
  const entries = useEntries()
  const list = useRef<HTMLDivElement>(null)
  const id = useId()
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = entries
    .filter(({ label, kind }) => words.every((word) => `${kind} ${label}`.toLowerCase().includes(word)))
    .slice(0, maxShown)
  const current = Math.min(position, found.length - 1)

  useEffect(() => {
    list.current?.querySelector(`[data-position="${current}"]`)?.scrollIntoView({ block: 'nearest' })
  }, [current])

  const choose = (entry: Entry | undefined) => {
    if (entry === undefined) return
    close()
    entry.go()
  }
  const onKey = (event: React.KeyboardEvent) => {
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      Home: 0,
      End: found.length - 1,
    }
    if (event.key === 'Enter') {
      event.preventDefault()
      choose(found[current])
    } else if (event.key in moves && found.length > 0) {
      event.preventDefault()
      setPosition((moves[event.key]! + found.length) % found.length)
    }
  }
  return (
    <>
      <input
        role="combobox"
        aria-label="Page or thing to go to"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={found[current] === undefined ? undefined : `${id}-${current}`}
        value={text}
        placeholder="Pages, machines, models, deployments…"
        onChange={(event) => {
          setText(event.target.value)
          setPosition(0)
        }}
        onKeyDown={onKey}
        className="border-b border-line bg-transparent px-4 py-3 text-sm outline-none"
      />
      <div
        ref={list}
        id={`${id}-list`}
        role="listbox"
        aria-label="Found"
        className="min-h-0 overflow-y-auto p-1.5"
      >
        {found.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above handles the keys of the list
          <div
            key={`${entry.kind} ${entry.id}`}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === current}
            data-position={index}
            onClick={() => choose(entry)}
            onPointerMove={() => setPosition(index)}
            className={classNames(
              'flex cursor-pointer items-center gap-2.5 rounded-md px-2.5 py-2 text-sm',
              index === current && 'bg-raised',
            )}
          >
            <entry.icon className="size-4 shrink-0 text-ink-3" aria-hidden="true" />
            <span className="min-w-0 flex-1 truncate">{entry.label}</span>
            <span className="text-xs text-ink-3">{entry.kind}</span>
          </div>
        ))}
        {found.length === 0 && (
          <p className="px-3 py-6 text-center text-sm text-ink-3">Nothing is called that.</p>
        )}
      </div>
    </>
  )
}
