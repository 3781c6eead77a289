/** Longitude and latitude in degrees. */
export type Place = readonly [longitude: number, latitude: number]

interface Area {
  readonly words: readonly string[]
  readonly centre: Place
  /** From the centre to the edges, for north, west and so on. */
  readonly reach: Place
}

/** Longer words first where one begins another. */
const areas: readonly Area[] = [
  { words: ['northamerica', 'na'], centre: [-98, 42], reach: [22, 9] },
  { words: ['southamerica', 'sa', 'br', 'brazil'], centre: [-56, -17], reach: [8, 12] },
  { words: ['usa', 'us'], centre: [-98, 39], reach: [21, 6] },
  { words: ['ca', 'canada'], centre: [-100, 54], reach: [25, 5] },
  { words: ['mx', 'mexico'], centre: [-102, 23], reach: [5, 4] },
  { words: ['europe', 'eu'], centre: [11, 50], reach: [12, 11] },
  { words: ['uk', 'gb'], centre: [-2, 53], reach: [1, 3] },
  { words: ['germany', 'de'], centre: [10, 51], reach: [3, 2] },
  { words: ['france', 'fr'], centre: [2, 47], reach: [3, 3] },
  { words: ['asia', 'ap', 'apac'], centre: [110, 25], reach: [26, 16] },
  { words: ['india', 'in'], centre: [78, 21], reach: [5, 8] },
  { words: ['japan', 'jp'], centre: [138, 36], reach: [3, 4] },
  { words: ['china', 'cn'], centre: [108, 34], reach: [12, 8] },
  { words: ['singapore', 'sg'], centre: [104, 1], reach: [0, 0] },
  { words: ['korea', 'kr'], centre: [128, 37], reach: [1, 1] },
  { words: ['me', 'middleeast', 'il', 'ae'], centre: [48, 27], reach: [6, 5] },
  { words: ['africa', 'af', 'za'], centre: [21, -2], reach: [12, 24] },
  { words: ['australia', 'oceania', 'au', 'oc'], centre: [134, -26], reach: [14, 8] },
]

const directions: Readonly<Record<string, Place>> = {
  north: [0, 1],
  south: [0, -1],
  east: [1, 0],
  west: [-1, 0],
  central: [0, 0],
  northeast: [0.8, 0.8],
  northwest: [-0.8, 0.8],
  southeast: [0.8, -0.8],
  southwest: [-0.8, -0.8],
}

/** Where clouds mean another place than their words do. */
const customary: Readonly<Record<string, Place>> = {
  'ap-south': [77, 20],
  'ap-east': [114, 23],
  'ap-northeast': [138, 36],
  'ap-southeast': [104, 2],
  'asia-south': [77, 20],
  'asia-east': [114, 23],
  'asia-northeast': [138, 36],
  'asia-southeast': [104, 2],
}

/**
 * Where a region such as `eu-north`, `us-west-2`, `europe-west4` or `ap-southeast` lies, roughly. Null if its words say
 * nothing about that: operators may name regions as they like.
 */
export function placeOf(region: string): Place | null {
  const [first = '', ...rest] = region.toLowerCase().split(/[-_.]/)
  const known = customary[`${first}-${rest[0]?.replace(/\d+$/, '')}`]
  if (known !== undefined) return known
  const area = areas.find(({ words }) => words.includes(first.replace(/\d+$/, '')))
  if (area === undefined) return null
  let [x, y] = area.centre
  for (const word of rest) {
    const direction = directions[word.replace(/\d+$/, '')]
    if (direction === undefined) continue
    x += direction[0] * area.reach[0]
    y += direction[1] * area.reach[1]
  }
  return [x, y]
}
