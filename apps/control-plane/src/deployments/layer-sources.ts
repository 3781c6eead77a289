import type { LayerRange, MachineId, ModelId } from '@deos/domain'
import { requireRevision } from '@deos/fleet'
import type { MachineService } from '../machines/machine-service.ts'
import type { LayerSource } from './assignments.ts'
import type { DeploymentLog } from './deployment-log.ts'

/** More would not make fetching faster. */
const mostSources = 4

const overlap = (a: LayerRange, b: LayerRange): boolean => a.first < b.end && b.first < a.end

/** Machines that have loaded some of the layers, whichever deployment they did it for, with tickets to read from them. */
export const layerSources =
  (log: DeploymentLog, machines: Pick<MachineService, 'linkAddressOf' | 'ticketFor'>) =>
  async (
    reader: MachineId,
    model: { readonly id: ModelId; readonly organisation: string },
    layers: LayerRange,
  ): Promise<readonly LayerSource[]> => {
    const holders = new Set<MachineId>()
    for (const deployment of log.state.deployments.values()) {
      if (deployment.organisation !== model.organisation) continue
      for (const replica of deployment.replicas) {
        if (requireRevision(deployment, replica.revision).spec.model !== model.id) continue
        for (const stage of replica.stages) {
          const has = stage.state.type === 'loaded' && overlap(stage.layers, layers)
          if (has && stage.machine !== reader) holders.add(stage.machine)
        }
      }
    }
    return [...holders]
      .flatMap((machineId) => {
        const address = machines.linkAddressOf(machineId)
        const ticket = machines.ticketFor(reader, machineId)
        return address === null || ticket === null ? [] : [{ machineId, address, ...ticket }]
      })
      .slice(0, mostSources)
  }
