import { type TimeWindow, timeWindows } from './data/types.ts'

type Given = Readonly<Record<string, unknown>>

/** Fields of an address, as pages take them: what does not fit is left out. */
const word = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined

const oneOf = <T extends string>(values: readonly T[], value: unknown): T | undefined =>
  values.find((each) => each === value)

const flag = (value: unknown): true | undefined => (value === true || value === 'true' ? true : undefined)

/** Every field of an address may be left out. */
const open = <T extends object>(fields: T): Partial<T> => fields

const windowOf = (given: Given): { window?: TimeWindow | undefined } => ({
  window: oneOf(timeWindows, given.window),
})

export const overviewSearch = windowOf

export const signInSearch = (given: Given): { to?: string | undefined } => {
  const to = word(given.to)
  // Only places of this console: an address of somebody else must not be one click behind a password.
  const isOwn = to !== undefined && /^\/(?!\/)[^\\]*$/.test(to)
  // Nor the page that leads there, which would lead to itself.
  return { to: isOwn && !to.startsWith('/sign-in') ? to : undefined }
}

export const machinesSearch = (given: Given) =>
  open({
    state: word(given.state),
    region: word(given.region),
    provider: word(given.provider),
    find: word(given.find),
    add: flag(given.add),
  })

export const machineTabs = ['live', 'hardware', 'stages', 'links', 'events'] as const
export const machineSearch = (given: Given) =>
  open({ ...windowOf(given), tab: oneOf(machineTabs, given.tab) })

export const modelsSearch = (given: Given) => open({ add: flag(given.add) })

export const deploymentTabs = ['ring', 'charts', 'revisions', 'logs', 'decisions', 'events'] as const
export const deploymentSearch = (given: Given) =>
  open({
    ...windowOf(given),
    tab: oneOf(deploymentTabs, given.tab),
  })
export const newDeploymentSearch = (given: Given) => open({ model: word(given.model) })

export const playgroundSearch = (given: Given) => open({ model: word(given.model) })
export const keysSearch = (given: Given) => open({ create: flag(given.create), all: flag(given.all) })

export const usageDimensions = ['day', 'model', 'project', 'key'] as const
export const usageDays = ['7', '30', '90'] as const
export const usageSearch = (given: Given) =>
  open({
    by: oneOf(usageDimensions, given.by),
    days: oneOf(usageDays, word(given.days)),
  })

export const requestsSearch = (given: Given) =>
  open({
    key: word(given.key),
    project: word(given.project),
    deployment: word(given.deployment),
  })

export const eventsSearch = (given: Given) =>
  open({
    about: word(given.about),
    machine: word(given.machine),
    deployment: word(given.deployment),
  })
