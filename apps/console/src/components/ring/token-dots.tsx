import { useEffect, useRef } from 'react'
import { pointAt, type RingShape } from './geometry.ts'

interface TokenDotsProps {
  readonly shape: RingShape
  readonly count: number
  readonly turnsPerSecond: number
}

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')
const fullTurn = 2 * Math.PI
/** A page that was hidden does not jump ahead. */
const longestStepS = 0.1

/** Tokens on their way around; they stand still for those who asked for less motion. */
export function TokenDots({ shape, count, turnsPerSecond }: TokenDotsProps) {
  const group = useRef<SVGGElement>(null)
  const turned = useRef(0)
  const latest = useRef({ shape, turnsPerSecond })
  latest.current = { shape, turnsPerSecond }

  useEffect(() => {
    let frame = 0
    let lastMs: number | null = null
    const place = () => {
      const dots = group.current?.children ?? []
      for (const [index, dot] of Array.from(dots).entries()) {
        const { x, y } = pointAt(latest.current.shape, (turned.current + index / count) * fullTurn)
        dot.setAttribute('transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`)
      }
    }
    const step = (nowMs: number) => {
      const passedS = lastMs === null ? 0 : Math.min(longestStepS, (nowMs - lastMs) / 1000)
      lastMs = nowMs
      turned.current = (turned.current + passedS * latest.current.turnsPerSecond) % 1
      place()
      frame = requestAnimationFrame(step)
    }
    place()
    if (!reducedMotion.matches && count > 0) frame = requestAnimationFrame(step)
    return () => cancelAnimationFrame(frame)
  }, [count])

  return (
    <g ref={group} fill="var(--accent)">
      {Array.from({ length: count }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: dots are told apart by their place only
        <circle key={index} r={3.5} />
      ))}
    </g>
  )
}
