import type { Place } from './regions.ts'

type Outline = readonly Place[]

/** Coasts in a few strokes: enough to tell continents, drawn by hand. */
const outlines: readonly Outline[] = [
  // North and Central America
  [
    [-166, 66],
    [-156, 71],
    [-128, 70],
    [-110, 68],
    [-95, 68],
    [-82, 68],
    [-80, 62],
    [-92, 58],
    [-82, 53],
    [-78, 60],
    [-68, 60],
    [-60, 54],
    [-56, 50],
    [-65, 46],
    [-70, 42],
    [-76, 36],
    [-81, 31],
    [-80, 26],
    [-84, 30],
    [-90, 29],
    [-97, 27],
    [-97, 20],
    [-91, 18],
    [-87, 21],
    [-88, 16],
    [-83, 14],
    [-83, 9],
    [-78, 9],
    [-84, 8],
    [-95, 16],
    [-105, 20],
    [-112, 28],
    [-117, 33],
    [-124, 41],
    [-124, 48],
    [-132, 56],
    [-145, 60],
    [-158, 57],
    [-166, 62],
  ],
  // Greenland
  [
    [-55, 60],
    [-44, 60],
    [-30, 68],
    [-20, 73],
    [-22, 82],
    [-55, 82],
    [-68, 77],
    [-53, 68],
  ],
  // South America
  [
    [-78, 8],
    [-70, 12],
    [-60, 9],
    [-51, 4],
    [-44, -2],
    [-35, -6],
    [-39, -14],
    [-41, -22],
    [-48, -27],
    [-54, -34],
    [-58, -38],
    [-63, -42],
    [-67, -48],
    [-68, -54],
    [-74, -52],
    [-73, -42],
    [-71, -30],
    [-70, -18],
    [-76, -14],
    [-81, -5],
    [-79, 1],
  ],
  // Africa
  [
    [-6, 35],
    [10, 37],
    [20, 32],
    [33, 31],
    [37, 21],
    [43, 12],
    [51, 11],
    [44, 1],
    [40, -7],
    [40, -16],
    [35, -22],
    [32, -28],
    [26, -34],
    [18, -34],
    [14, -24],
    [12, -14],
    [9, 1],
    [5, 5],
    [-8, 5],
    [-14, 10],
    [-17, 15],
    [-16, 22],
    [-10, 30],
  ],
  // Madagascar
  [
    [44, -16],
    [50, -15],
    [47, -25],
    [44, -24],
  ],
  // Europe and Asia
  [
    [-9, 43],
    [-9, 37],
    [-5, 36],
    [0, 39],
    [4, 43],
    [9, 44],
    [14, 41],
    [16, 38],
    [18, 40],
    [13, 45],
    [19, 42],
    [22, 37],
    [24, 40],
    [28, 37],
    [36, 36],
    [35, 32],
    [39, 21],
    [45, 13],
    [56, 18],
    [59, 23],
    [51, 25],
    [48, 30],
    [57, 26],
    [67, 25],
    [73, 18],
    [77, 8],
    [80, 14],
    [88, 21],
    [94, 17],
    [98, 9],
    [103, 2],
    [102, 10],
    [106, 10],
    [109, 14],
    [107, 21],
    [115, 23],
    [121, 29],
    [119, 36],
    [125, 40],
    [127, 35],
    [130, 42],
    [140, 50],
    [142, 59],
    [155, 59],
    [158, 52],
    [163, 60],
    [178, 65],
    [178, 69],
    [160, 70],
    [140, 73],
    [112, 76],
    [95, 76],
    [72, 72],
    [60, 69],
    [44, 67],
    [40, 65],
    [32, 70],
    [22, 70],
    [13, 66],
    [6, 61],
    [7, 58],
    [12, 56],
    [17, 61],
    [22, 65],
    [21, 60],
    [29, 60],
    [20, 55],
    [10, 54],
    [4, 52],
    [-2, 48],
    [-1, 44],
  ],
  // Britain and Ireland
  [
    [-5, 50],
    [1, 51],
    [-1, 54],
    [-3, 58],
    [-6, 57],
    [-4, 54],
  ],
  [
    [-10, 52],
    [-6, 52],
    [-6, 55],
    [-9, 55],
  ],
  // Iceland
  [
    [-24, 64],
    [-14, 64],
    [-16, 66],
    [-23, 66],
  ],
  // Japan
  [
    [130, 32],
    [135, 34],
    [140, 35],
    [141, 39],
    [144, 43],
    [141, 45],
    [139, 38],
    [132, 35],
  ],
  // Sumatra and Java, Borneo, Sulawesi, New Guinea, the Philippines
  [
    [95, 5],
    [104, -3],
    [114, -8],
    [106, -7],
    [98, 1],
  ],
  [
    [109, 1],
    [117, 6],
    [118, 1],
    [115, -4],
    [110, -2],
  ],
  [
    [120, -5],
    [125, 1],
    [120, 0],
  ],
  [
    [131, -1],
    [141, -3],
    [150, -10],
    [138, -8],
  ],
  [
    [120, 18],
    [122, 14],
    [126, 7],
    [122, 8],
  ],
  // Australia, Tasmania, New Zealand
  [
    [114, -22],
    [122, -18],
    [130, -12],
    [136, -12],
    [140, -17],
    [143, -11],
    [147, -19],
    [153, -26],
    [150, -37],
    [144, -39],
    [138, -34],
    [130, -32],
    [118, -35],
    [115, -33],
  ],
  [
    [145, -41],
    [148, -41],
    [147, -44],
  ],
  [
    [173, -35],
    [178, -38],
    [174, -41],
    [169, -46],
    [167, -45],
    [172, -41],
  ],
]

/** Whether a place is within an outline, by counting crossings. */
function isInside([x, y]: Place, outline: Outline): boolean {
  let inside = false
  for (const [index, [x1, y1]] of outline.entries()) {
    const [x2, y2] = outline[(index + 1) % outline.length]!
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside
  }
  return inside
}

export const mapWidth = 720
export const mapHeight = 268

const north = 78
const south = -56

/** Where a place is drawn. */
export const project = ([longitude, latitude]: Place): Place => [
  ((longitude + 180) / 360) * mapWidth,
  ((north - latitude) / (north - south)) * mapHeight,
]

const spacing = 3

/** All land as one path of dots, each a stroke of no length with round ends. */
export const landPath = (): string => {
  const dots: string[] = []
  for (let latitude = north - spacing / 2; latitude > south; latitude -= spacing) {
    for (let longitude = -180 + spacing / 2; longitude < 180; longitude += spacing) {
      if (!outlines.some((outline) => isInside([longitude, latitude], outline))) continue
      const [x, y] = project([longitude, latitude])
      dots.push(`M${x.toFixed(1)} ${y.toFixed(1)}h0`)
    }
  }
  return dots.join('')
}
