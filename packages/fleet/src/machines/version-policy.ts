import { checkInteger } from './field-checks.ts'
import { invalidField } from './fleet-error.ts'

/** Versions of the protocol between machine and control plane that one side speaks, both ends included. */
export interface ProtocolRange {
  readonly min: number
  readonly max: number
}

/** What a machine runs. */
export interface MachineSoftware {
  /** `major.minor.patch`, with anything semantic versioning allows behind. */
  readonly version: string
  readonly protocol: ProtocolRange
}

/** What the control plane runs and how far machines may lag behind. */
export interface VersionPolicy extends MachineSoftware {
  /** Minor versions of the same major that a machine may be older. */
  readonly olderMinors: number
}

/** `protocol` is the one to speak; or `remedy` says what to update, and `problem` why. */
export type Handshake =
  | { readonly protocol: number }
  | { readonly protocol: null; readonly problem: string; readonly remedy: string }

/**
 * Whether a machine and this control plane may work together while a fleet is being updated, in whichever order:
 *
 * - a protocol version that both speak must exist; the newest is spoken
 * - the same major version; what a major changes is not promised to be understood on the other side
 * - any newer minor or patch may join: machines may be updated first
 * - a machine may be older by `olderMinors` minor versions: the control plane may be updated first
 *
 * @throws FleetError if what the machine says of itself makes no sense
 */
export function shakeHands(policy: VersionPolicy, machine: MachineSoftware): Handshake {
  const theirs = checkSoftware(machine)
  const ours = parseVersion('versions.version', policy.version)
  const { min, max } = machine.protocol
  const spoken = Math.min(max, policy.protocol.max)
  const updateMachine = `Update the machine to ${policy.version}.`
  const updateServer = `Update the control plane to ${machine.version}, or install ${policy.version} on the machine.`
  if (spoken < Math.max(min, policy.protocol.min)) {
    return {
      protocol: null,
      problem: `The machine speaks protocol ${formatRange(machine.protocol)}, this control plane ${formatRange(policy.protocol)}`,
      remedy: max < policy.protocol.min ? updateMachine : updateServer,
    }
  }
  if (theirs.major !== ours.major) {
    return {
      protocol: null,
      problem: `The machine runs DeOS ${machine.version}, this control plane ${policy.version}; their major versions differ`,
      remedy: theirs.major < ours.major ? updateMachine : updateServer,
    }
  }
  if (theirs.minor < ours.minor - policy.olderMinors) {
    const oldest = `${ours.major}.${ours.minor - policy.olderMinors}.0`
    return {
      protocol: null,
      problem: `The machine runs DeOS ${machine.version}; this control plane (${policy.version}) accepts ${oldest} or newer`,
      remedy: updateMachine,
    }
  }
  return { protocol: spoken }
}

function checkSoftware({ version, protocol }: MachineSoftware): Version {
  checkInteger('software.protocol.min', protocol.min, 1, 1_000_000)
  checkInteger('software.protocol.max', protocol.max, protocol.min, 1_000_000)
  return parseVersion('software.version', version)
}

interface Version {
  readonly major: number
  readonly minor: number
}

function parseVersion(field: string, text: string): Version {
  const match = text.length > 64 ? null : /^(\d{1,9})\.(\d{1,9})\.\d{1,9}(?:[-+][0-9A-Za-z.+-]+)?$/.exec(text)
  if (match === null) throw invalidField(field, text, 'a version such as 1.4.2')
  return { major: Number(match[1]), minor: Number(match[2]) }
}

const formatRange = ({ min, max }: ProtocolRange): string => (min === max ? `${min}` : `${min} to ${max}`)
