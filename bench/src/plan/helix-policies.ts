import type { FlowInstance } from '@deos/planner'
import type { FlowRouterOptions } from '@deos/simulator'
import { type Admission, helixAdmission, type ServingMode } from './helix-settings.ts'

/** What is decided beside the placement. */
export interface ServingPolicy {
  readonly admission: Admission
  /** Decode steps that share a pass at most; null leaves it to the machines. */
  readonly stepsPerPass: number | null
  /**
   * How much more than by the flow quick machines are used: rates count as `rate * (rate / quickest) ** favour` where the
   * flow is divided. 0 divides by what machines bear, which fills slow ones as much as quick ones.
   */
  readonly favour: number
  /** Whether a request stays among machines of one kind: the quick ones then answer short prompts at once. */
  readonly kindsApart: boolean
  /** Which machine a request goes to. */
  readonly next: NonNullable<FlowRouterOptions['next']>
}

const waves = (kvLeast: number): Admission => ({
  refill: { by: 'waves', kvLeast, kvMost: 0.9 },
  kvMost: 0.95,
})
export const admissions: Readonly<Record<ServingMode, readonly Admission[]>> = {
  offline: [
    helixAdmission,
    { refill: { by: 'fill', kvMost: 0.9 }, kvMost: 0.95 },
    waves(0.75),
    waves(0.65),
    waves(0.55),
  ],
  online: [helixAdmission],
}
export const stepLimits = [null, 160, 80, 40, 28, 24]
export const favours: Readonly<Record<ServingMode, readonly number[]>> = {
  offline: [0],
  online: [0, 0.1, 0.2, 0.25, 0.3, 0.5],
}
/** By which candidates are compared. */
export const firstPolicies: Readonly<Record<ServingMode, readonly ServingPolicy[]>> = {
  offline: [{ admission: waves(0.65), stepsPerPass: 80, favour: 0, kindsApart: false, next: 'leastAfter' }],
  online: [false, true].flatMap((kindsApart) =>
    (['leastBefore', 'leastAfter'] as const).flatMap((next) =>
      [
        { stepsPerPass: 80, favour: 0.2 },
        { stepsPerPass: 28, favour: 0.25 },
      ].map((batching) => ({ admission: helixAdmission, ...batching, kindsApart, next })),
    ),
  ),
}
/** The instance by whose flow requests are divided. */
export function routedOver(instance: FlowInstance, { favour, kindsApart }: ServingPolicy): FlowInstance {
  const { devices, links } = instance
  const quickest = Math.max(...devices.map((device) => device.tokensPerSecondByLayers[0]!))
  const kindOf = (end: FlowInstance['links'][number]['from' | 'to']) =>
    typeof end === 'number' ? devices[end]!.kind : null
  const stays = (from: string | null, to: string | null) => from === null || to === null || from === to
  return {
    ...instance,
    devices: devices.map((device) => {
      const factor = (device.tokensPerSecondByLayers[0]! / quickest) ** favour
      return {
        ...device,
        tokensPerSecondByLayers: device.tokensPerSecondByLayers.map((rate) => rate * factor),
      }
    }),
    links: kindsApart ? links.filter(({ from, to }) => stays(kindOf(from), kindOf(to))) : links,
  }
}
