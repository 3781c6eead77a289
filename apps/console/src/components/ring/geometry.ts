/** Points in pixels, angles in radians clockwise from the top. */
export interface Point {
  readonly x: number
  readonly y: number
}

export interface RingShape {
  readonly width: number
  readonly height: number
  readonly centre: Point
  readonly radiusX: number
  readonly radiusY: number
  readonly nodeWidth: number
  readonly nodeHeight: number
  /** Whether nodes have room for words; otherwise they show their number only. */
  readonly roomy: boolean
}

const fullTurn = 2 * Math.PI

/** The angle of a stage; the first is at the top, or on the left of two. */
export const angleOf = (position: number, stages: number): number =>
  (position / stages + (stages === 2 ? 0.75 : 0)) * fullTurn

export const pointAt = ({ centre, radiusX, radiusY }: RingShape, angle: number): Point => ({
  x: centre.x + radiusX * Math.sin(angle),
  y: centre.y - radiusY * Math.cos(angle),
})

const wordsHeight = 66
const gap = 8
const flattest = 108
const tallest = 250

function shapeOf(width: number, radiusY: number, nodeWidth: number, nodeHeight: number): RingShape {
  const height = radiusY * 2 + nodeHeight + 24
  return {
    width,
    height,
    centre: { x: width / 2, y: height / 2 },
    radiusX: Math.max(60, Math.min(380, (width - nodeWidth) / 2 - 6)),
    radiusY,
    nodeWidth,
    nodeHeight,
    roomy: nodeHeight === wordsHeight,
  }
}

function isApart(shape: RingShape, stages: number): boolean {
  const points = Array.from({ length: stages }, (_, position) => pointAt(shape, angleOf(position, stages)))
  return points.every((a, index) =>
    points
      .slice(index + 1)
      .every(
        (b) => Math.abs(a.x - b.x) >= shape.nodeWidth + gap || Math.abs(a.y - b.y) >= shape.nodeHeight + gap,
      ),
  )
}

/** A ring of `stages` nodes that fits into `width`: as flat as its words allow, or without words. */
export function ringShape(width: number, stages: number): RingShape {
  const nodeWidth = Math.min(152, Math.max(104, width * 0.24))
  if (stages <= 24) {
    for (let radiusY = flattest; radiusY <= tallest; radiusY += 8) {
      const shape = shapeOf(width, radiusY, nodeWidth, wordsHeight)
      if (isApart(shape, stages)) return shape
    }
  }
  return shapeOf(width, Math.min(tallest, Math.max(flattest, width * 0.3)), 30, 30)
}

/** Turns a second that the eye can follow; the real ones are far more. */
export function turnsPerSecond(tokensPerSecond: number, activeSessions: number): number {
  if (tokensPerSecond <= 0) return 0
  const each = tokensPerSecond / Math.max(1, activeSessions)
  return 0.05 + 0.45 * Math.min(1, Math.log1p(each) / Math.log(201))
}

export const maxDots = 24
export const dotsOf = (activeSessions: number, tokensPerSecond: number): number =>
  tokensPerSecond <= 0 ? 0 : Math.min(maxDots, Math.max(1, activeSessions))
