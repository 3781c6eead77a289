import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { DomainError, describeError } from '@deos/domain'
import {
  type Accelerator,
  assumedEfficiency,
  assumedLinks,
  type ComputeFleet,
  catalogue,
  type FleetLinks,
  type FleetMachine,
  findAccelerator,
  insideLinkOf,
  type LinkRate,
} from '@deos/planner'
import { z } from 'zod'
import { closest } from '../text/closest.ts'
import { PlanFile, PlanFileError } from './plan-file.ts'

const positive = z.number().positive()
const figure = positive.nullable().default(null)

const ownAccelerator = z.strictObject({
  name: z.string().min(1),
  memoryGiB: positive,
  memoryGBs: positive,
  fp16Tflops: positive,
  fp32Tflops: figure,
  fp8Tflops: figure,
  int8Tops: figure,
  peerLinkGBs: figure,
  hostLinkGBs: figure,
})

const rate = z.strictObject({ latencyMs: z.number().nonnegative(), gbps: positive })

const machine = z.strictObject({
  name: z.string().min(1),
  accelerator: z.union([z.string().min(1), ownAccelerator], {
    error:
      'is neither the name of an accelerator nor figures of one (name, memoryGiB, memoryGBs, fp16Tflops)',
  }),
  accelerators: z.int().min(1).max(64).default(1),
  count: z.int().min(1).max(10_000).default(1),
  hostMemoryGiB: z.number().nonnegative().default(0),
  site: z.string().min(1).optional(),
  region: z.string().min(1).default('here'),
  pricePerHour: z.number().nonnegative().default(0),
  availability: z.number().positive().max(1).default(1),
  inside: rate.optional(),
})

const fleetSchema = z.strictObject({
  machines: z.array(machine).min(1),
  links: z
    .strictObject({
      sameSite: rate.optional(),
      sameRegion: rate.optional(),
      elsewhere: rate.optional(),
      regions: z.array(rate.extend({ from: z.string(), to: z.string() })).default([]),
      measured: z
        .union([z.string().min(1), z.array(rate.extend({ from: z.string(), to: z.string() }))], {
          error: 'is neither a CSV file nor a list of {from, to, latencyMs, gbps}',
        })
        .default([]),
    })
    .default({ regions: [], measured: [] }),
  efficiency: z
    .strictObject({
      compute: z.number().positive().max(1).default(assumedEfficiency.compute),
      memory: z.number().positive().max(1).default(assumedEfficiency.memory),
      overheadMs: z.number().nonnegative().default(assumedEfficiency.overheadMs),
    })
    .default(assumedEfficiency),
})

type FleetDescription = z.infer<typeof fleetSchema>
type RateFields = z.infer<typeof rate>
type NamedRate = FleetLinks['regions'][number]

/** More accelerators than this are no fleet that a person meant. */
const mostAccelerators = 20_000

/** @throws PlanFileError naming file, line and field */
export async function readFleet(path: string): Promise<ComputeFleet> {
  const file = await PlanFile.read(path)
  return fleetOfFile(file, async (name) => {
    const csv = resolve(dirname(path), name)
    return readFile(csv, 'utf8').catch((cause: unknown) => {
      throw new PlanFileError(csv, null, '', describeError(cause), 'Give a CSV file that can be read.')
    })
  })
}

/** @param readTable - text of a file that the fleet names */
export async function fleetOfFile(
  file: PlanFile,
  readTable: (name: string) => Promise<string>,
): Promise<ComputeFleet> {
  const described = file.parse(fleetSchema)
  const machines = described.machines.flatMap((each, at) => machinesOf(file, each, at))
  const accelerators = machines.reduce((sum, each) => sum + each.accelerators, 0)
  if (accelerators > mostAccelerators) {
    throw file.error(
      ['machines'],
      `These are ${accelerators} accelerators.`,
      `Describe at most ${mostAccelerators}.`,
    )
  }
  checkNames(file, described)
  const names = new Set(machines.map(({ name }) => name))
  const { links } = described
  const measured =
    typeof links.measured === 'string'
      ? parseTable(links.measured, await readTable(links.measured))
      : links.measured.map(named)
  const [unknown] = measured.flatMap(({ a, b }, at) =>
    [{ at, key: 'from', name: a } as const, { at, key: 'to', name: b } as const].filter(
      ({ name }) => !names.has(name),
    ),
  )
  if (unknown !== undefined) throw unknownMachine(file, links.measured, unknown, names)
  return {
    machines,
    links: {
      sameSite: links.sameSite === undefined ? assumedLinks.sameSite : rateOf(links.sameSite),
      sameRegion: links.sameRegion === undefined ? assumedLinks.sameRegion : rateOf(links.sameRegion),
      elsewhere: links.elsewhere === undefined ? assumedLinks.elsewhere : rateOf(links.elsewhere),
      regions: links.regions.map((each, at) => {
        for (const key of ['from', 'to'] as const) {
          if (machines.some(({ region }) => region === each[key])) continue
          const known = [...new Set(machines.map(({ region }) => region))].join(', ')
          throw file.error(
            ['links', 'regions', at, key],
            `No machine is in the region "${each[key]}".`,
            `The regions are ${known}.`,
          )
        }
        return named(each)
      }),
      measured,
    },
    efficiency: described.efficiency,
  }
}

/** Of those that a count makes, too. */
function checkNames(file: PlanFile, { machines }: FleetDescription): void {
  const seen = new Set<string>()
  for (const [at, { name, count }] of machines.entries()) {
    const all = new Set([name, ...namesOf(name, count)])
    const twice = [...all].find((each) => seen.has(each))
    if (twice !== undefined) {
      const what = `Another machine has this name${twice === name ? '' : `: "${twice}"`}.`
      const hint = 'Give each its own; with a count, numbers are appended.'
      throw file.error(['machines', at, 'name'], what, hint)
    }
    for (const each of all) seen.add(each)
  }
}

const namesOf = (name: string, count: number): readonly string[] =>
  count === 1 ? [name] : Array.from({ length: count }, (_, number) => `${name}-${number + 1}`)

/** In the list, or in the table that stands for it. */
function unknownMachine(
  file: PlanFile,
  measured: FleetDescription['links']['measured'],
  { at, key, name }: { readonly at: number; readonly key: 'from' | 'to'; readonly name: string },
  names: ReadonlySet<string>,
): PlanFileError {
  const what = `There is no machine "${name}".`
  const near = [...names].find((each) => each.startsWith(`${name}-`)) ?? closest(name, [...names])
  const hint = near === null ? 'Name machines of the fleet.' : `Did you mean "${near}"?`
  if (typeof measured !== 'string') return file.error(['links', 'measured', at, key], what, hint)
  return new PlanFileError(measured, null, `link ${at + 1}, ${key}`, what, hint)
}

const rateOf = ({ latencyMs, gbps }: RateFields): LinkRate => ({
  delayMs: latencyMs,
  bytesPerS: (gbps * 1e9) / 8,
})
const named = (each: RateFields & { readonly from: string; readonly to: string }): NamedRate => ({
  a: each.from,
  b: each.to,
  rate: rateOf(each),
})

function machinesOf(
  file: PlanFile,
  each: FleetDescription['machines'][number],
  at: number,
): readonly FleetMachine[] {
  const accelerator = acceleratorOf(file, each.accelerator, at)
  const { name: given, count, region } = each
  return namesOf(given, count).map((name) => ({
    name,
    accelerator,
    accelerators: each.accelerators,
    hostMemoryGiB: each.hostMemoryGiB,
    inside: each.inside === undefined ? insideLinkOf(accelerator) : rateOf(each.inside),
    site: each.site ?? region,
    region,
    pricePerHour: each.pricePerHour,
    availability: each.availability,
  }))
}

function acceleratorOf(
  file: PlanFile,
  given: FleetDescription['machines'][number]['accelerator'],
  at: number,
): Accelerator {
  if (typeof given !== 'string') {
    return { ...given, vendor: 'own', powerW: null, source: 'given in the fleet file', note: '' }
  }
  try {
    return findAccelerator(catalogue, given)
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    throw file.error(['machines', at, 'accelerator'], error.message, error.hint)
  }
}

/** Lines of `from,to,latency_ms,gbps`, with a head. */
export function parseTable(name: string, text: string): readonly NamedRate[] {
  const lines = text.split(/\r?\n/)
  if (lines[0]?.replaceAll(' ', '') !== 'from,to,latency_ms,gbps') {
    throw new PlanFileError(
      name,
      1,
      '',
      'The first line is not from,to,latency_ms,gbps.',
      'Begin with these names.',
    )
  }
  return lines.slice(1).flatMap((line, at): readonly NamedRate[] => {
    if (line.trim() === '') return []
    const cells = line.split(',').map((cell) => cell.trim())
    const [from, to] = cells
    const [latencyMs, gbps] = cells.slice(2).map((cell) => (cell === '' ? Number.NaN : Number(cell)))
    const good =
      (latencyMs ?? -1) >= 0 && (gbps ?? 0) > 0 && Number.isFinite(gbps) && Number.isFinite(latencyMs)
    if (cells.length !== 4 || !from || !to || !good) {
      throw new PlanFileError(
        name,
        at + 2,
        '',
        `"${line}" is no link.`,
        'Write two machines, ms one way, and Gbit/s above 0.',
      )
    }
    return [named({ from, to, latencyMs: latencyMs!, gbps: gbps! })]
  })
}
