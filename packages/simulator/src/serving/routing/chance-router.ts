import type { Random } from '@deos/domain'
import type { ServingFleet } from '../serving-fleet.ts'
import { fittingLinks } from './flow-router.ts'
import { atSink, atSource, type RoutedRequest, type Router } from './router.ts'

/** Sends each prompt on by chance, every fitting link alike. On separate pipelines, which have one link each, the rule. */
export class ChanceRouter implements Router {
  private readonly choices = new Map<number, number[]>()

  constructor(
    fleet: ServingFleet,
    private readonly random: Random,
  ) {
    for (const { from, to } of fittingLinks(fleet)) {
      const sender = from === 'source' ? atSource : from
      this.choices.set(sender, [...(this.choices.get(sender) ?? []), to === 'sink' ? atSink : to])
    }
  }

  admit(): boolean {
    return true
  }

  next(_request: RoutedRequest, from: number): number {
    const choices = this.choices.get(from)
    if (choices === undefined) throw new Error(`No link leads on from machine ${from}.`)
    return choices[Math.floor(this.random.next() * choices.length)]!
  }

  stepBegins(): void {
    // Only prompts choose.
  }

  served(): void {
    // Chance does not learn.
  }

  finished(): void {
    // Nothing is kept for single requests.
  }

  kvUsage(): number {
    return 0
  }
}
