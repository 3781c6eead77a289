import { useMemo } from 'react'
import { useDeployments, useKeys, useMachines, useMembers, useModels, useProjects } from './lists.ts'

/** Names for ids, as far as they are known; an id stands for itself otherwise. */
export interface Names {
  machine(id: string): string
  deployment(id: string): string
  model(id: string): string
  project(id: string): string
  key(id: string): string
  person(id: string): string
}

const finder = (entries: readonly (readonly [string, string])[]): ((id: string) => string) => {
  const names = new Map(entries)
  return (id) => names.get(id) ?? id
}

export function useNames(): Names {
  const machines = useMachines().items
  const deployments = useDeployments().items
  const models = useModels().items
  const projects = useProjects().items
  const keys = useKeys(true).items
  const members = useMembers().items
  return useMemo(
    () => ({
      machine: finder(machines.map(({ id, name }) => [id, name])),
      deployment: finder(deployments.map(({ id, name }) => [id, name])),
      model: finder(models.map(({ id, name }) => [id, name])),
      project: finder(projects.map(({ id, title }) => [id, title])),
      key: finder(keys.map(({ id, name }) => [id, name])),
      person: finder(members.map(({ userId, name }) => [userId, name])),
    }),
    [machines, deployments, models, projects, keys, members],
  )
}
