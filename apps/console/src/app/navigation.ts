import type { Permission } from '@deos/sdk'
import {
  Activity,
  Boxes,
  ChartColumn,
  CreditCard,
  FolderKanban,
  Gauge,
  KeyRound,
  type LucideIcon,
  MessageSquare,
  Rocket,
  ScrollText,
  Server,
  Settings,
  Users,
} from 'lucide-react'

export interface Place {
  readonly to:
    | '/'
    | '/playground'
    | '/machines'
    | '/models'
    | '/deployments'
    | '/usage'
    | '/requests'
    | '/events'
    | '/keys'
    | '/projects'
    | '/members'
    | '/billing'
    | '/settings'
  readonly label: string
  readonly icon: LucideIcon
  readonly permission: Permission
}

/** Every page of the navigation, and who may see it. */
export const navigation: readonly { readonly title: string | null; readonly places: readonly Place[] }[] = [
  {
    title: null,
    places: [
      { to: '/', label: 'Overview', icon: Gauge, permission: 'status:read' },
      { to: '/playground', label: 'Playground', icon: MessageSquare, permission: 'playground:use' },
    ],
  },
  {
    title: 'Compute',
    places: [
      { to: '/machines', label: 'Machines', icon: Server, permission: 'machines:read' },
      { to: '/models', label: 'Models', icon: Boxes, permission: 'models:read' },
      { to: '/deployments', label: 'Deployments', icon: Rocket, permission: 'deployments:read' },
    ],
  },
  {
    title: 'Observe',
    places: [
      { to: '/usage', label: 'Usage', icon: ChartColumn, permission: 'usage:read' },
      { to: '/requests', label: 'Requests', icon: ScrollText, permission: 'requests:read' },
      { to: '/events', label: 'Events', icon: Activity, permission: 'events:read' },
    ],
  },
  {
    title: 'Organisation',
    places: [
      { to: '/keys', label: 'API keys', icon: KeyRound, permission: 'keys:read' },
      { to: '/projects', label: 'Projects', icon: FolderKanban, permission: 'projects:read' },
      { to: '/members', label: 'Members', icon: Users, permission: 'members:read' },
      { to: '/billing', label: 'Billing', icon: CreditCard, permission: 'billing:read' },
      { to: '/settings', label: 'Settings', icon: Settings, permission: 'settings:read' },
    ],
  },
]

export const places: readonly Place[] = navigation.flatMap((group) => group.places)

/** The place whose page, or a page below it, an address names. */
export const placeAt = (pathname: string): Place | null =>
  places.find(({ to }) =>
    to === '/' ? pathname === '/' : pathname === to || pathname.startsWith(`${to}/`),
  ) ?? null
