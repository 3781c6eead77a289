/** What kind of machine a worker plays. */
export interface WorkerProfile {
  readonly name: string
  /** Share of the machine's speed that the worker uses, above 0 up to 1. Layers are shared out by it. */
  readonly speed: number
  /** KV memory per layer, relative to the worker that has the least. */
  readonly memory: number
}

/** Machines that differ on purpose, so that one computer shows what a mixed fleet does. */
export const mixedProfiles: readonly WorkerProfile[] = [
  { name: 'workstation', speed: 1, memory: 1.5 },
  { name: 'desktop', speed: 0.6, memory: 2 },
  { name: 'mini', speed: 0.3, memory: 1 },
  { name: 'laptop', speed: 0.5, memory: 1.25 },
]

/** Machines that are all alike and use all their speed. */
export const evenProfiles: readonly WorkerProfile[] = [{ name: 'even', speed: 1, memory: 1 }]

/** `count` profiles, the table over and over. */
export const takeProfiles = (table: readonly WorkerProfile[], count: number): readonly WorkerProfile[] =>
  Array.from({ length: count }, (_, index) => table[index % table.length]!)
