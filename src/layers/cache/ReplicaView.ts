/**
 * A replica as reads look at it. A view that is kept holds nothing of a tenant that was removed.
 */
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import { notInMemory, type TenantView } from "../../services/TenantCache.ts"
import type { Replica } from "./Replica.ts"

/** What all replicas of a plane have in common. */
export interface Plane {
  readonly mayAnswer: (replica: Replica) => boolean
  readonly slotOf: (key: ConfigKey.Any) => number | undefined
}

export class ReplicaView implements TenantView {
  readonly #plane: Plane
  #replica: Replica | undefined

  constructor(plane: Plane, replica: Replica) {
    this.#plane = plane
    this.#replica = replica
  }

  retire(): void {
    this.#replica = undefined
  }

  // What every read runs.
  peek<A>(key: ConfigKey<A>): A | typeof notInMemory {
    const replica = this.#replica
    if (replica === undefined || !this.#plane.mayAnswer(replica)) return notInMemory
    const slot = this.#plane.slotOf(key)
    if (slot === undefined) return notInMemory
    replica.hits++
    // From `values`, not from the slot: the slot objects of many tenants do not fit in the CPU's cache.
    return ReaderOwned.handOut<A>(replica.values[slot])
  }
}
