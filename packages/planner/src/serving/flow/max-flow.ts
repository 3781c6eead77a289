/** Below this share of the largest capacity an arc counts as full: sums of doubles do not end at zero exactly. */
const negligible = 1e-12

/**
 * Maximum flow by Dinic's method over arrays that are kept between runs, so that a search can evaluate many graphs
 * without allocating. Vertices are 0 to `vertices - 1`.
 */
export class MaxFlow {
  private readonly head: Int32Array
  private readonly level: Int32Array
  private readonly cursor: Int32Array
  private readonly queue: Int32Array
  private next: Int32Array
  private to: Int32Array
  private left: Float64Array
  private arcs = 0
  private vertices = 0
  private threshold = 0

  constructor(mostVertices: number, arcsToExpect: number) {
    this.head = new Int32Array(mostVertices)
    this.level = new Int32Array(mostVertices)
    this.cursor = new Int32Array(mostVertices)
    this.queue = new Int32Array(mostVertices)
    const size = Math.max(2, arcsToExpect * 2)
    this.next = new Int32Array(size)
    this.to = new Int32Array(size)
    this.left = new Float64Array(size)
  }

  /** Forgets all arcs. */
  reset(vertices: number): void {
    if (vertices > this.head.length) throw new RangeError(`There is room for ${this.head.length} vertices.`)
    this.vertices = vertices
    this.arcs = 0
    this.threshold = 0
    this.head.fill(-1, 0, vertices)
  }

  /** @returns the arc's number, for {@link flowOf} */
  addArc(from: number, to: number, capacity: number): number {
    const arc = this.arcs
    if (arc + 2 > this.to.length) this.grow()
    this.to[arc] = to
    this.left[arc] = capacity
    this.next[arc] = this.head[from]!
    this.head[from] = arc
    this.to[arc + 1] = from
    this.left[arc + 1] = 0
    this.next[arc + 1] = this.head[to]!
    this.head[to] = arc + 1
    this.arcs += 2
    if (Number.isFinite(capacity)) this.threshold = Math.max(this.threshold, capacity * negligible)
    return arc
  }

  /** Sends as much as the arcs bear; callable once after each {@link reset}. */
  run(source: number, sink: number): number {
    let total = 0
    while (this.layer(source, sink)) {
      this.cursor.set(this.head.subarray(0, this.vertices))
      for (;;) {
        const sent = this.push(source, sink, Number.POSITIVE_INFINITY)
        if (sent <= this.threshold) break
        total += sent
      }
    }
    return total
  }

  flowOf(arc: number): number {
    return this.left[arc + 1]!
  }

  /** After {@link run}: whether the vertex lies on the source's side of the minimum cut. */
  isReachable(vertex: number): boolean {
    return this.level[vertex]! >= 0
  }

  private layer(source: number, sink: number): boolean {
    const { level, queue, head, next, to, left, threshold } = this
    level.fill(-1, 0, this.vertices)
    level[source] = 0
    queue[0] = source
    for (let at = 0, end = 1; at < end; at += 1) {
      const vertex = queue[at]!
      for (let arc = head[vertex]!; arc >= 0; arc = next[arc]!) {
        const target = to[arc]!
        if (level[target]! >= 0 || left[arc]! <= threshold) continue
        level[target] = level[vertex]! + 1
        queue[end] = target
        end += 1
      }
    }
    return level[sink]! >= 0
  }

  private push(vertex: number, sink: number, most: number): number {
    if (vertex === sink) return most
    const { cursor, next, to, left, level, threshold } = this
    for (let arc = cursor[vertex]!; arc >= 0; arc = next[arc]!) {
      cursor[vertex] = arc
      const room = left[arc]!
      const target = to[arc]!
      if (room <= threshold || level[target] !== level[vertex]! + 1) continue
      const sent = this.push(target, sink, room < most ? room : most)
      if (sent > threshold) {
        left[arc] = room - sent
        left[arc ^ 1] = left[arc ^ 1]! + sent
        return sent
      }
    }
    cursor[vertex] = -1
    return 0
  }

  private grow(): void {
    const size = this.to.length * 2
    const widen = (old: Int32Array) => {
      const wide = new Int32Array(size)
      wide.set(old)
      return wide
    }
    this.next = widen(this.next)
    this.to = widen(this.to)
    const left = new Float64Array(size)
    left.set(this.left)
    this.left = left
  }
}
