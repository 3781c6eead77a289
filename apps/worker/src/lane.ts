/** Runs so many tasks at a time, one at least; the others wait in the order they came. */
export class Lane {
  private readonly waiting: (() => void)[] = []
  private running = 0

  /** @param width - asked for whenever a task could start */
  constructor(private readonly width: () => number) {}

  async run<T>(task: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve)
      this.startSome()
    })
    try {
      return await task()
    } finally {
      this.running -= 1
      this.startSome()
    }
  }

  private startSome(): void {
    while (this.running === 0 || this.running < this.width()) {
      const next = this.waiting.shift()
      if (!next) return
      this.running += 1
      next()
    }
  }
}
