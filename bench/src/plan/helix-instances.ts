import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DomainError } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '@deos/planner'
import { z } from 'zod'

const range = z.tuple([z.number(), z.number()])
const placed = z.record(z.string(), range)

const schema = z.object({
  name: z.string(),
  num_layers: z.number(),
  nodes: z.array(
    z.object({ id: z.number(), type: z.string(), tokens_per_s_by_layer_count: z.array(z.number()) }),
  ),
  edges: z.array(z.tuple([z.string(), z.string(), z.number()])),
  published: z.object({
    helix_milp: z.object({
      objective_tokens_per_s: z.number(),
      placement: placed,
      gurobi: z.object({ seconds: z.number() }).optional(),
    }),
    petals: z.object({ placement: placed, objective_tokens_per_s_strict_handoff: z.number() }).optional(),
    swarm: z.object({ placement: placed, objective_tokens_per_s_strict_handoff: z.number() }).optional(),
  }),
})

/** A placement as published, with the objective its authors give. */
export interface PublishedPlacement {
  readonly method: 'helix' | 'petals' | 'swarm'
  readonly placement: FlowPlacement
  readonly tokensPerSecond: number
}

export interface HelixInstance {
  readonly name: string
  readonly instance: FlowInstance
  readonly published: readonly PublishedPlacement[]
  /** Of the authors' solver, where its log was kept. */
  readonly solverSeconds: number | null
}

export class BenchDataError extends DomainError {
  readonly code = 'BENCH_DATA'
  readonly retriable = false
}

/** The authors' placement problems in a folder of `instances/*.json`. */
export function readHelixInstances(folder: string): readonly HelixInstance[] {
  const files = readdirSync(join(folder, 'instances')).filter((file) => file.endsWith('.json'))
  return files.sort().map((file) => readHelixInstance(join(folder, 'instances', file)))
}

export function readHelixInstance(path: string): HelixInstance {
  const parsed = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')))
  if (!parsed.success) {
    throw new BenchDataError(
      `${path} is not a placement instance: ${z.prettifyError(parsed.error)}`,
      'See bench/data/helix/README.md for the form.',
    )
  }
  const { name, num_layers, nodes, edges, published } = parsed.data
  const place = (given: z.infer<typeof placed>): FlowPlacement =>
    nodes.map(({ id }) => {
      const here = given[String(id)]
      return here === undefined ? null : { first: here[0], end: here[1] }
    })
  const { helix_milp: helix, petals, swarm } = published
  const rivals = (['petals', 'swarm'] as const).flatMap((method) => {
    const given = { petals, swarm }[method]
    return given === undefined
      ? []
      : [
          {
            method,
            placement: place(given.placement),
            tokensPerSecond: given.objective_tokens_per_s_strict_handoff,
          },
        ]
  })
  return {
    name,
    instance: {
      layers: num_layers,
      devices: nodes.map(({ id, type, tokens_per_s_by_layer_count: tokensPerSecondByLayers }) => ({
        name: String(id),
        kind: type,
        tokensPerSecondByLayers,
      })),
      links: edges.map(([from, to, tokensPerSecond]) => ({
        from: from === 'source' ? from : Number(from),
        to: to === 'sink' ? to : Number(to),
        tokensPerSecond,
      })),
    },
    published: [
      {
        method: 'helix' as const,
        placement: place(helix.placement),
        tokensPerSecond: helix.objective_tokens_per_s,
      },
      ...rivals,
    ],
    solverSeconds: helix.gurobi?.seconds ?? null,
  }
}
