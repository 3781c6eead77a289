import { expect, test } from 'vitest'
import { angleOf, dotsOf, maxDots, pointAt, ringShape, turnsPerSecond } from './geometry.ts'

test.each([
  [320, 1],
  [320, 4],
  [900, 2],
  [900, 6],
  [900, 40],
])('in %d pixels all of %d nodes lie within the picture', (width, stages) => {
  const shape = ringShape(width, stages)
  for (let position = 0; position < stages; position += 1) {
    const { x, y } = pointAt(shape, angleOf(position, stages))
    expect(x - shape.nodeWidth / 2).toBeGreaterThanOrEqual(0)
    expect(x + shape.nodeWidth / 2).toBeLessThanOrEqual(width)
    expect(y - shape.nodeHeight / 2).toBeGreaterThanOrEqual(0)
    expect(y + shape.nodeHeight / 2).toBeLessThanOrEqual(shape.height)
  }
})

test('nodes with words do not touch one another', () => {
  for (const width of [320, 600, 900]) {
    for (let stages = 2; stages <= 16; stages += 1) {
      const shape = ringShape(width, stages)
      if (!shape.roomy) continue
      const points = Array.from({ length: stages }, (_, position) =>
        pointAt(shape, angleOf(position, stages)),
      )
      for (const [index, a] of points.entries()) {
        for (const b of points.slice(index + 1)) {
          const apart = Math.abs(a.x - b.x) >= shape.nodeWidth || Math.abs(a.y - b.y) >= shape.nodeHeight
          expect(apart, `${stages} stages in ${width} pixels`).toBe(true)
        }
      }
    }
  }
})

test('the first stage is at the top, the others follow clockwise', () => {
  const shape = ringShape(600, 4)
  const [top, right] = [pointAt(shape, angleOf(0, 4)), pointAt(shape, angleOf(1, 4))]
  expect(top.y).toBeLessThan(shape.centre.y)
  expect(right.x).toBeGreaterThan(shape.centre.x)
})

test('a silent ring stands still, a faster one turns faster, and never too fast to see', () => {
  expect(turnsPerSecond(0, 3)).toBe(0)
  expect(dotsOf(3, 0)).toBe(0)
  expect(turnsPerSecond(100, 1)).toBeGreaterThan(turnsPerSecond(10, 1))
  expect(turnsPerSecond(1e6, 1)).toBeLessThanOrEqual(0.5)
  expect(dotsOf(1000, 50)).toBe(maxDots)
})
