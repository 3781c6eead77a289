import { useData, useList } from './query.ts'
import { openClient, useMay } from './session.tsx'

/** For what no event announces. */
const slowlyMs = 30_000

export const useMachines = () =>
  useList(['machines'], (client, query, signal) => client.machines.list({ query, signal }), {
    enabled: useMay('machines:read'),
    refetchMs: slowlyMs,
  })

export const useDeployments = () =>
  useList(['deployments'], (client, query, signal) => client.deployments.list({ query, signal }), {
    enabled: useMay('deployments:read'),
    refetchMs: slowlyMs,
  })

export const useModels = () =>
  useList(['models'], (client, query, signal) => client.models.list({ query, signal }), {
    enabled: useMay('models:read'),
    refetchMs: slowlyMs,
  })

export const useAliases = () =>
  useList(['aliases'], (client, query, signal) => client.aliases.list({ query, signal }), {
    enabled: useMay('deployments:read'),
  })

export const useProjects = () =>
  useList(['projects'], (client, query, signal) => client.projects.list({ query, signal }), {
    enabled: useMay('projects:read'),
  })

/** @param all - revoked and expired ones, too */
export const useKeys = (all: boolean) =>
  useList(['keys', all], (client, query, signal) => client.keys.list({ query: { ...query, all }, signal }), {
    enabled: useMay('keys:read'),
    refetchMs: slowlyMs,
  })

export const useMembers = () =>
  useList(['members'], (client, query, signal) => client.members.list({ query, signal }), {
    enabled: useMay('members:read'),
  })

export const useSettings = () =>
  useData(['settings'], (client, signal) => client.settings.show({ signal }), {
    enabled: useMay('settings:read'),
  })

export const useVersion = () => useData(['version'], (_, signal) => openClient.session.version({ signal }))
