import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { EmulatedSite, PairTraffic, WanAction, WanProfile } from '@deos/wan'

/** An emulated network in a process of its own, as `deos wan` runs it. */
export class EmulatorProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly lines: Interface,
    private readonly folder: string,
    readonly sites: readonly EmulatedSite[],
  ) {}

  static async start(entry: string, profile: WanProfile): Promise<EmulatorProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'deos-wan-'))
    const file = join(folder, 'profile.json')
    await writeFile(file, JSON.stringify(profile))
    const child = spawn(
      process.execPath,
      [entry, '--profile', file, '--supervised', '--log-level', 'error'],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    const lines = createInterface({ input: child.stdout })
    const sites = await Promise.race([
      nextLine(lines, 'ready', (line) => line.sites as readonly EmulatedSite[]),
      new Promise<never>((_, reject) => {
        child.once('exit', (code) => reject(new Error(`The network emulator ended with code ${code}.`)))
      }),
    ])
    return new EmulatorProcess(child, lines, folder, sites)
  }

  /** What went between sites since it started. */
  async traffic(): Promise<readonly PairTraffic[]> {
    const answer = nextLine(this.lines, 'traffic', (line) => line.pairs as readonly PairTraffic[])
    this.child.stdin!.write('{"ask":"traffic"}\n')
    return answer
  }

  /** Makes something happen to a pair of sites now. */
  order(action: WanAction): void {
    this.child.stdin!.write(`${JSON.stringify(action)}\n`)
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.stdin!.end()
    await gone
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** What a line of our own process holds. */
function nextLine<T>(
  lines: Interface,
  event: string,
  pick: (line: Record<string, unknown>) => T,
): Promise<T> {
  return new Promise((resolve) => {
    const hear = (text: string): void => {
      const line = JSON.parse(text) as Record<string, unknown>
      if (line.event !== event) return
      lines.off('line', hear)
      resolve(pick(line))
    }
    lines.on('line', hear)
  })
}
