import type { IdSource, Placer, Random } from '@deos/domain'
import type { Logger } from '@deos/service'
import type { Timers } from '@deos/transport'
import type { Claims } from '../cluster/claims.ts'
import type { Database } from '../database/database.ts'
import type { DeployableFleet } from './deployable-fleet.ts'
import type { DeployedModels } from './deployed-models.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { DeploymentWishes } from './deployment-wishes.ts'
import { DrainWatch } from './drain-watch.ts'
import { GatewayReports } from './gateway-reports.ts'
import { Reconciler } from './reconciler.ts'
import type { RingAccess } from './ring-access.ts'
import { RingActivity } from './ring-activity.ts'
import { RingProver } from './ring-prover.ts'
import { type GenerateToken, ringToken } from './ring-token.ts'

export interface DeploymentServiceParts {
  readonly log: DeploymentLog
  readonly fleet: DeployableFleet
  readonly models: DeployedModels
  readonly rings: RingAccess
  readonly placer: Placer
  readonly claims: Pick<Claims, 'tryRun'>
  readonly database: Database
  readonly timers: Timers
  readonly now: () => Date
  readonly random: Random
  readonly ids: IdSource
  readonly logger: Logger
  /** Without it, over TCP. */
  readonly generateToken?: GenerateToken
}

/** Everything that brings deployments to what is wished and keeps them there. */
export class DeploymentService {
  readonly wishes: DeploymentWishes
  readonly activity: RingActivity
  readonly gateways: GatewayReports
  readonly reconciler: Reconciler
  readonly prover: RingProver
  readonly drains: DrainWatch

  constructor(readonly parts: DeploymentServiceParts) {
    this.wishes = new DeploymentWishes(parts)
    this.activity = new RingActivity(parts)
    this.gateways = new GatewayReports(parts.database, parts.now)
    this.reconciler = new Reconciler(parts)
    this.drains = new DrainWatch({ ...parts, gateways: this.gateways })
    const generateToken = parts.generateToken ?? ringToken(parts)
    this.prover = new RingProver({ ...parts, activity: this.activity, generateToken })
  }

  start(): void {
    this.activity.start()
    this.reconciler.start()
    this.prover.start()
    this.drains.start()
  }

  async stop(): Promise<void> {
    this.activity.stop()
    await Promise.all([this.reconciler.stop(), this.prover.stop(), this.drains.stop()])
  }
}
