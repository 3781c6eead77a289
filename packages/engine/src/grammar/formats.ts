/**
 * Patterns of the string formats of JSON Schema. Each allows a part of what its format allows, never more: the usual
 * spellings, and only years, lengths and labels that every validator takes.
 */
const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const ipv4 = `${octet}(?:\\.${octet}){3}`
const group = '[0-9a-fA-F]{1,4}'
const ipv6 = [
  `(?:${group}:){7}${group}`,
  ...Array.from({ length: 6 }, (_, i) => `(?:${group}:){${6 - i}}(?::${group}){1,${i + 1}}`),
  `::(?:${group}:){0,5}${group}`,
  '::',
].join('|')
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?'
const hostname = `${label}(?:\\.${label}){0,5}`
const leapYear = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
const date = [
  '\\d{4}-(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])',
  '\\d{4}-(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)',
  '\\d{4}-02-(?:0[1-9]|1\\d|2[0-8])',
  `${leapYear}-02-29`,
].join('|')
const hourAndMinute = '(?:[01]\\d|2[0-3]):[0-5]\\d'
const time = `${hourAndMinute}:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-]${hourAndMinute})`
const count = '\\d{1,6}'
const clock = `T(?:${count}H(?:${count}M(?:${count}S)?)?|${count}M(?:${count}S)?|${count}S)`
const days = `(?:${count}Y(?:${count}M(?:${count}D)?)?|${count}M(?:${count}D)?|${count}D)`
const atom = '[A-Za-z0-9_+-]{1,30}'
const pathCharacter = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
const path = `(?:/${pathCharacter}*)*`
const uri = `[A-Za-z][A-Za-z0-9+-]{1,30}://${hostname}(?::\\d{1,4})?${path}(?:\\?(?:${pathCharacter}|[/?])*)?(?:#(?:${pathCharacter}|[/?])*)?`

export const stringFormats: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'date-time': `(?:${date})T${time}`,
    date,
    time,
    duration: `P(?:${count}W|${days}(?:${clock})?|${clock})`,
    email: `${atom}(?:\\.${atom})?@(?:${label}\\.){1,3}[A-Za-z]{2,20}`,
    hostname,
    ipv4,
    ipv6,
    uuid: '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}',
    uri,
    'uri-reference': `${uri}|${path}`,
    iri: uri,
    'iri-reference': `${uri}|${path}`,
    'json-pointer': '(?:/(?:[^~/]|~[01])*)*',
    byte: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
  }),
)

/** Formats of OpenAPI that say how a program stores a value and leave its text free. */
export const freeFormats: ReadonlySet<string> = new Set(['float', 'double', 'password', 'binary'])

/** Formats of OpenAPI that bound whole numbers, both bounds included. */
export const integerFormats: ReadonlyMap<string, readonly [low: bigint, high: bigint]> = new Map([
  ['int32', [-(2n ** 31n), 2n ** 31n - 1n]],
  ['int64', [-(2n ** 63n), 2n ** 63n - 1n]],
])
