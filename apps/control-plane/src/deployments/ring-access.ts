import { createHmac } from 'node:crypto'
import { type RingId, ringId } from '@deos/domain'
import type { Replica } from '@deos/fleet'
import type { ClusterSecrets } from '../cluster/cluster-secrets.ts'

/** What rings are called, and what only their members know. */
export class RingAccess {
  private constructor(private readonly key: Buffer) {}

  static async open(secrets: Pick<ClusterSecrets, 'get'>): Promise<RingAccess> {
    return new RingAccess(await secrets.get('rings'))
  }

  /** Another placement of a replica is another ring. */
  idOf({ id, generation }: Pick<Replica, 'id' | 'generation'>): RingId {
    return ringId(`${id}.${generation}`)
  }

  /** 32 bytes in hexadecimal digits. */
  secretOf(replica: Pick<Replica, 'id' | 'generation'>): string {
    return createHmac('sha256', this.key).update(this.idOf(replica)).digest('hex')
  }
}
